//! A safetensors file: one training step as another framework computed it.
//!
//! Only the header is held; tensors are read when they are asked for, since a file may be larger than memory. Everything that is
//! wrong with a file is a failure of the verification (exit code 1), not of its usage.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

/// The largest header that the format's own library reads.
const LARGEST_HEADER: u64 = 100_000_000;

pub struct ExportedFile {
    path: String,
    file: File,
    header: Metadata,
    /// Offset of the tensors, in bytes.
    data: u64,
}

impl ExportedFile {
    pub fn open(path: &Path) -> Result<ExportedFile> {
        let name = path.display().to_string();
        let mut file = File::open(path).with_context(|| format!("cannot open the reference {name}"))?;
        let (header, data) =
            read_header(&mut file).with_context(|| format!("{name} is no whole safetensors file: export it again"))?;
        Ok(ExportedFile { path: name, file, header, data })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names of all tensors, in the file's order.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    pub fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// A tensor's sizes; an error when there is no such tensor.
    pub fn sizes(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.info(name)?.shape)
    }

    /// An entry of the file's metadata.
    pub fn entry(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    pub fn check_type(&self, name: &str, expected: Dtype) -> Result<()> {
        let found = self.info(name)?.dtype;
        ensure!(found == expected, "{}: `{name}` is {found}, but must be {expected}", self.path);
        Ok(())
    }

    /// An f32 tensor's elements.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f32>> {
        self.check_type(name, Dtype::F32)?;
        self.elements(name, f32::from_le_bytes)
    }

    /// An i64 tensor's elements.
    pub fn integers(&mut self, name: &str) -> Result<Vec<i64>> {
        self.check_type(name, Dtype::I64)?;
        self.elements(name, i64::from_le_bytes)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        let missing = || format!("{} has no tensor `{name}`: export it too", self.path);
        self.header.info(name).with_context(missing)
    }

    fn elements<const BYTES: usize, T>(&mut self, name: &str, decode: fn([u8; BYTES]) -> T) -> Result<Vec<T>> {
        let (start, end) = self.info(name)?.data_offsets;
        let mut read = || -> std::io::Result<Vec<T>> {
            self.file.seek(SeekFrom::Start(self.data + start as u64))?;
            let count = (end - start) / BYTES;
            let mut elements = Vec::with_capacity(count);
            let mut buffer = vec![0; 1 << 20];
            while elements.len() < count {
                let wanted = buffer.len().min((count - elements.len()) * BYTES);
                self.file.read_exact(&mut buffer[..wanted])?;
                elements.extend(buffer[..wanted].as_chunks::<BYTES>().0.iter().map(|&bytes| decode(bytes)));
            }
            Ok(elements)
        };
        read().with_context(|| format!("cannot read `{name}` from {}", self.path))
    }
}

/// The header, and where the tensors begin: eight bytes of length, the header as JSON, the tensors.
fn read_header(file: &mut File) -> Result<(Metadata, u64)> {
    let mut length = [0; 8];
    file.read_exact(&mut length).context("shorter than a header")?;
    let length = u64::from_le_bytes(length);
    let size = file.metadata()?.len();
    ensure!(length <= LARGEST_HEADER && 8 + length <= size, "its first eight bytes are no header length");
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json)?;
    let header: Metadata = serde_json::from_slice(&json).context("its header cannot be read")?;
    let expected = 8 + length + header.data_len() as u64;
    if size != expected {
        bail!("it has {size} bytes where its header tells of {expected}");
    }
    Ok((header, 8 + length))
}
