//! A file as a protobuf reader sees it: what is skipped is never read, and what is read has a limit.

use std::io::{Read, Seek, SeekFrom};

use prost::bytes::{Buf, Bytes, BytesMut};

/// Protobuf's own limit of a message. Larger models keep their tensors in other files, which are not opened.
const LARGEST_FILE: u64 = 1 << 31;
/// Tensors of more bytes than this are read without their numbers.
const LARGEST_TENSOR: usize = 4096;
/// Bytes that may be read. Descriptions of real networks have a few MB; the rest of a file are numbers, which are skipped.
const MOST_BYTES: u64 = 256 << 20;
/// Fields that may be read. It limits the memory that empty messages take, two bytes each in the file.
const MOST_FIELDS: u64 = 4 << 20;
const CHUNK: u64 = 16 << 10;

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The system's reason.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// A limit of what is read.
    #[error("{0}")]
    TooLarge(&'static str),
}

/// Hands out the file piece by piece. After a fault it is at its end, and [`FileBuf::fault`] has the reason.
pub struct FileBuf<R> {
    source: R,
    chunk: Vec<u8>,
    /// Next byte of `chunk`.
    at: usize,
    /// Bytes of the file behind `chunk`.
    behind: u64,
    bytes_left: u64,
    fields_left: u64,
    fault: Option<FileFault>,
}

impl<R: Read + Seek> FileBuf<R> {
    pub fn new(mut source: R) -> Result<FileBuf<R>, FileFault> {
        let length = source.seek(SeekFrom::End(0))?;
        if length > LARGEST_FILE {
            return Err(FileFault::TooLarge("has more than 2 GiB: export its tensors as external data"));
        }
        source.rewind()?;
        let (bytes_left, fields_left) = (MOST_BYTES, MOST_FIELDS);
        let mut file =
            FileBuf { source, chunk: Vec::new(), at: 0, behind: length, bytes_left, fields_left, fault: None };
        file.fill();
        Ok(file)
    }

    pub fn fault(self) -> Option<FileFault> {
        self.fault
    }

    fn fill(&mut self) {
        let size = self.behind.min(CHUNK);
        if size > self.bytes_left {
            return self.stop(FileFault::TooLarge("holds more than 256 MiB beside its tensors"));
        }
        self.chunk.resize(size as usize, 0);
        self.at = 0;
        match self.source.read_exact(&mut self.chunk) {
            Ok(()) => (self.behind, self.bytes_left) = (self.behind - size, self.bytes_left - size),
            Err(error) => self.stop(error.into()),
        }
    }

    fn stop(&mut self, fault: FileFault) {
        self.chunk.clear();
        (self.at, self.behind) = (0, 0);
        self.fault.get_or_insert(fault);
    }

    fn skip(&mut self, beyond: u64) {
        match self.source.seek(SeekFrom::Current(beyond as i64)) {
            Ok(_) => self.behind -= beyond,
            Err(error) => self.stop(error.into()),
        }
    }
}

impl<R: Read + Seek> Buf for FileBuf<R> {
    fn remaining(&self) -> usize {
        self.chunk.len() - self.at + self.behind as usize
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk[self.at..]
    }

    /// Seeks over what lies behind the piece at hand.
    fn advance(&mut self, count: usize) {
        let Some(fields_left) = self.fields_left.checked_sub(1) else {
            return self.stop(FileFault::TooLarge("has more than four million fields"));
        };
        self.fields_left = fields_left;
        // A fault ends the file, and a reader may still pass what it has just seen.
        let count = count.min(self.remaining());
        let here = count.min(self.chunk.len() - self.at);
        self.at += here;
        if count > here {
            self.skip((count - here) as u64);
        }
        if self.at == self.chunk.len() && self.behind > 0 || count > here {
            self.fill();
        }
    }

    /// Gives none of a large tensor's bytes, in place of all.
    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let mut copy = BytesMut::new();
        if length > LARGEST_TENSOR {
            self.advance(length);
            return copy.freeze();
        }
        while copy.len() < length && self.has_remaining() {
            let piece = &self.chunk[self.at..];
            let piece = &piece[..piece.len().min(length - copy.len())];
            copy.extend_from_slice(piece);
            self.advance(piece.len());
        }
        copy.freeze()
    }
}
