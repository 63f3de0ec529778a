//! Findings: what the device saw its caller do wrong, as values.

use std::fmt;
use std::io;
use std::path::Path;

/// What kind of mistake a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// A read of memory that nothing has written: a missing copy or wait, a wrong stream, swapped arguments.
    UninitialisedRead,
    /// An access beyond an allocation or beyond shared memory.
    OutOfBounds,
    /// An access to memory that was freed.
    UseAfterFree,
    /// A free of what was freed before, or never allocated.
    InvalidFree,
    /// A null pointer, or an address that is no memory of the device's.
    InvalidAddress,
    /// An access to an address that its size does not divide.
    Misaligned,
    /// Two threads of a block touch the same shared memory without a barrier between them, one of them writing.
    SharedMemoryRace,
    /// A barrier or a shuffle that not all the threads reach which it needs.
    DivergentThreads,
    /// An integer division by zero.
    DivisionByZero,
    /// A kernel that executes more than 2³³ instructions in one warp.
    EndlessKernel,
    /// Work that waited for the host for longer than `SOFTCUDA_HANG_SECONDS`.
    Hang,
    /// A stream, event or descriptor that does not exist, or was never set.
    InvalidHandle,
    /// An argument that the real library refuses: a launch too large, a matrix that does not fit, an address that is
    /// passed as a number.
    InvalidArgument,
    /// PTX that cannot be read, or that the interpreter does not know (COVERAGE.md).
    UnsupportedPtx,
    /// Something that the real library does and softcuda does not.
    NotModelled,
    /// Work that failed because a test asked for it.
    RequestedFault,
    /// Something left at exit: memory, streams, events, modules, handles, descriptors, contexts, clock locks, and queued
    /// work that nobody waited for.
    Leak,
}

impl FindingKind {
    const ALL: [FindingKind; 17] = {
        use FindingKind::*;
        [
            UninitialisedRead,
            OutOfBounds,
            UseAfterFree,
            InvalidFree,
            InvalidAddress,
            Misaligned,
            SharedMemoryRace,
            DivergentThreads,
            DivisionByZero,
            EndlessKernel,
            Hang,
            InvalidHandle,
            InvalidArgument,
            UnsupportedPtx,
            NotModelled,
            RequestedFault,
            Leak,
        ]
    };
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// A line for people: the call or the kernel, and what is wrong. What programs rely on is the kind.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, text: impl Into<String>) -> Self {
        Finding { kind, text: text.into() }
    }

    /// The same, said of something: `place: text`.
    pub(crate) fn of(self, place: impl fmt::Display) -> Self {
        Finding { text: format!("{place}: {}", self.text), ..self }
    }

    /// A line of a report: the kind, a tab, the text.
    pub(crate) fn line(&self) -> String {
        format!("{:?}\t{}", self.kind, self.text.replace('\n', " "))
    }

    fn parse(line: &str) -> Option<Finding> {
        let (name, text) = line.split_once('\t')?;
        let kind = FindingKind::ALL.into_iter().find(|kind| format!("{kind:?}") == name)?;
        Some(Finding::new(kind, text))
    }
}

impl std::error::Error for Finding {}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The findings of one or more processes, in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Reads a report, the file of [`Softcuda::report`](crate::Softcuda::report). Without the file there are none: it is
    /// made with the first. It may be read while the process runs; leaks come when it ends.
    ///
    /// # Errors
    /// The file cannot be read, or is no report.
    pub fn read(report: impl AsRef<Path>) -> io::Result<Findings> {
        let text = match std::fs::read_to_string(report.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Findings::default()),
            text => text?,
        };
        let finding =
            |line: &str| Finding::parse(line).ok_or_else(|| io::Error::other(format!("no finding: `{line}`")));
        text.lines().map(finding).collect::<io::Result<_>>().map(Findings)
    }

    /// The findings of one kind.
    pub fn of_kind(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |finding| finding.kind == kind)
    }

    /// The kinds, in the order of the findings.
    pub fn kinds(&self) -> Vec<FindingKind> {
        self.0.iter().map(|finding| finding.kind).collect()
    }
}

impl std::ops::Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back() {
        let file = std::env::temp_dir().join(format!("softcuda-report-{}", std::process::id()));
        assert_eq!(Findings::read(&file).unwrap(), Findings::default());
        let written: Vec<Finding> =
            FindingKind::ALL.map(|kind| Finding::new(kind, format!("about\t{kind:?}")).of("add")).into();
        let lines: Vec<String> = written.iter().map(Finding::line).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let read = Findings::read(&file).unwrap();
        assert_eq!(read, Findings(written));
        assert_eq!(read.of_kind(FindingKind::Leak).map(|f| f.text.as_str()).collect::<Vec<_>>(), ["add: about\tLeak"]);
        std::fs::write(&file, "something else").unwrap();
        assert!(Findings::read(&file).is_err());
        std::fs::remove_file(&file).unwrap();
    }
}
