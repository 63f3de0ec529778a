//! Decoded kernels: instructions over register files that hold a value for each of a warp's 32 lanes.

/// Values of a register of up to 32 bits, and of 64 bits, in the 32 lanes of a warp.
pub type L32 = [u32; 32];
pub type L64 = [u64; 32];

/// A register: its file and its index there. A predicate is one word, a bit per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    Pred(u16),
    R32(u16),
    R64(u16),
}

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemType {
    U8,
    S8,
    B16,
    S16,
    B32,
    B64,
}

impl MemType {
    pub fn size(self) -> u64 {
        match self {
            MemType::U8 | MemType::S8 => 1,
            MemType::B16 | MemType::S16 => 2,
            MemType::B32 => 4,
            MemType::B64 => 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Global,
    Shared,
}

/// The address of a load or store: a register plus a constant.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub space: Space,
    pub base: Reg,
    pub offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomOp {
    Add,
    AddF32,
    Or,
    MaxS32,
    MaxU32,
    MinS32,
    MinU32,
    Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

/// Registers whose value depends on the thread's place or on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Thread(u8),
    BlockSize(u8),
    Block(u8),
    GridSize(u8),
    Lane,
    Multiprocessor,
    Clock,
    GlobalTimer,
}

/// One instruction. Arithmetic carries the function that does it for all lanes at once.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Unary32 {
        f: fn(&L32) -> L32,
        d: u16,
        a: u16,
    },
    Binary32 {
        f: fn(&L32, &L32) -> L32,
        d: u16,
        a: u16,
        b: u16,
    },
    /// As Binary32, but a zero in `b` is an error.
    Divide32 {
        f: fn(&L32, &L32) -> L32,
        d: u16,
        a: u16,
        b: u16,
    },
    Ternary32 {
        f: fn(&L32, &L32, &L32) -> L32,
        d: u16,
        a: u16,
        b: u16,
        c: u16,
    },
    Unary64 {
        f: fn(&L64) -> L64,
        d: u16,
        a: u16,
    },
    Binary64 {
        f: fn(&L64, &L64) -> L64,
        d: u16,
        a: u16,
        b: u16,
    },
    Divide64 {
        f: fn(&L64, &L64) -> L64,
        d: u16,
        a: u16,
        b: u16,
    },
    Shift64 {
        f: fn(&L64, &L32) -> L64,
        d: u16,
        a: u16,
        b: u16,
    },
    Widen {
        f: fn(&L32) -> L64,
        d: u16,
        a: u16,
    },
    Narrow {
        f: fn(&L64) -> L32,
        d: u16,
        a: u16,
    },
    MultiplyWide {
        f: fn(&L32, &L32) -> L64,
        d: u16,
        a: u16,
        b: u16,
    },
    MultiplyAddWide {
        f: fn(&L32, &L32) -> L64,
        d: u16,
        a: u16,
        b: u16,
        c: u16,
    },
    Compare32 {
        f: fn(&L32, &L32) -> u32,
        d: u16,
        a: u16,
        b: u16,
        with: Option<Combine>,
    },
    Compare64 {
        f: fn(&L64, &L64) -> u32,
        d: u16,
        a: u16,
        b: u16,
        with: Option<Combine>,
    },
    Select32 {
        d: u16,
        a: u16,
        b: u16,
        p: u16,
    },
    Select64 {
        d: u16,
        a: u16,
        b: u16,
        p: u16,
    },
    Logic {
        f: fn(u32, u32) -> u32,
        d: u16,
        a: u16,
        b: u16,
    },
    /// Two 32-bit halves to one 64-bit value and back.
    Pack {
        d: u16,
        low: u16,
        high: u16,
    },
    Unpack {
        low: u16,
        high: u16,
        a: u16,
    },
    Parameter {
        d: Reg,
        offset: usize,
        ty: MemType,
    },
    Special {
        d: Reg,
        which: Special,
    },
    Load {
        d: [Reg; 4],
        count: u8,
        ty: MemType,
        from: Address,
        volatile: bool,
    },
    Store {
        v: [Reg; 4],
        count: u8,
        ty: MemType,
        to: Address,
    },
    Atomic {
        op: AtomOp,
        d: Option<u16>,
        at: Address,
        v: u16,
    },
    Shuffle {
        mode: ShuffleMode,
        d: u16,
        ok: Option<u16>,
        a: u16,
        b: u16,
        c: u16,
        members: u16,
    },
    Branch {
        target: u32,
    },
    Barrier,
    Return,
}

/// `setp` with a second predicate: the comparison is combined with `p` (negated where `negate`).
#[derive(Clone, Copy, Debug)]
pub struct Combine {
    pub f: fn(u32, u32) -> u32,
    pub p: u16,
    pub negate: bool,
}

/// An instruction, the predicate that guards it and the PTX line it came from.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    pub op: Op,
    pub guard: Option<(u16, bool)>,
    pub line: u32,
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its first byte in the parameter block.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
    /// The kernel uses it as the address of global memory.
    pub is_pointer: bool,
}

/// A kernel of a module, ready to run.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Its name in the PTX.
    pub name: String,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    pub(super) code: Vec<Instruction>,
    pub(super) predicates: usize,
    pub(crate) registers32: usize,
    pub(super) registers64: usize,
    /// Registers that hold literals.
    pub(super) constants32: Vec<(u16, u32)>,
    pub(super) constants64: Vec<(u16, u64)>,
    pub(crate) shared_bytes: usize,
    pub(crate) max_threads: u32,
}

impl Kernel {
    /// The size of the parameter block in bytes.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.last().map_or(0, |p| p.offset + p.size)
    }
}
