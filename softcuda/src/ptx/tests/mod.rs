//! The interpreter on small kernels, against the PTX manual (docs.nvidia.com/cuda/parallel-thread-execution).

mod arithmetic;
mod comparison;
mod conversion;
mod forms;
mod memory;
mod threads;
mod watch;

use super::{KernelError, Launch, launch, parse};
use crate::buffer::Buffer;

/// A module with one kernel `k` that has this many parameters `p0`, `p1`… of 64 bits, and registers enough.
fn module(parameters: usize, body: &str) -> String {
    let list = (0..parameters).map(|i| format!(".param .u64 p{i}")).collect::<Vec<_>>().join(", ");
    format!(
        ".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry k({list})\n{{\n\
         .reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<16>;\n.reg .b64 %d<16>;\n{body}\nret;\n}}\n"
    )
}

/// Runs such a kernel, with dynamic shared memory of 1 KiB.
fn run(body: &str, grid: [u32; 3], block: [u32; 3], arguments: &[u64]) -> Result<(), KernelError> {
    let kernels = parse(&module(arguments.len(), body)).unwrap_or_else(|error| panic!("{error} in\n{body}"));
    let parameters: Vec<u8> = arguments.iter().flat_map(|value| value.to_le_bytes()).collect();
    launch(&kernels["k"], &Launch { grid, block, dynamic_shared: 1024, parameters: &parameters })
}

/// The registers of operands, as PTX has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// 16 bits.
    H,
    /// 32 bits.
    R,
    /// 64 bits.
    D,
    /// A predicate, 0 or 1.
    P,
}

impl Width {
    /// Loads operand `i` of this thread from `p{i}`, a list of 64-bit values.
    fn load(self, i: usize) -> String {
        let address = format!("ld.param.u64 %d1, [p{i}]; add.s64 %d1, %d1, %d0;");
        match self {
            Width::H => format!("{address} ld.global.u16 %h{i}, [%d1];"),
            Width::R => format!("{address} ld.global.u32 %r{i}, [%d1];"),
            Width::D => format!("{address} ld.global.u64 %d{}, [%d1];", i + 4),
            Width::P => format!("{address} ld.global.u32 %r{i}, [%d1]; setp.ne.u32 %p{i}, %r{i}, 0;"),
        }
    }
    fn register(self, i: usize) -> String {
        match self {
            Width::H => format!("%h{i}"),
            Width::R => format!("%r{i}"),
            Width::D => format!("%d{}", i + 4),
            Width::P => format!("%p{i}"),
        }
    }
    /// Stores register 7 of this width to this thread's place in `p{i}`, in 64 bits.
    fn store(self, i: usize) -> String {
        let value = match self {
            Width::H => "cvt.u32.u16 %r8, %h7; cvt.u64.u32 %d2, %r8;",
            Width::R => "cvt.u64.u32 %d2, %r7;",
            Width::D => "mov.u64 %d2, %d11;",
            Width::P => "selp.b64 %d2, 1, 0, %p7;",
        };
        format!("{value} ld.param.u64 %d1, [p{i}]; add.s64 %d1, %d1, %d0; st.global.u64 [%d1], %d2;")
    }
}

/// What an instruction makes of its operands: one thread for each row of `rows`.
fn compute<const N: usize>(instruction: &str, to: Width, from: [Width; N], rows: &[[u64; N]]) -> Vec<u64> {
    let inputs: Vec<Buffer<u64>> =
        (0..N).map(|i| Buffer::of(&rows.iter().map(|row| row[i]).collect::<Vec<_>>())).collect();
    let output = Buffer::<u64>::uninitialised(rows.len());
    let loads: String = from.iter().enumerate().map(|(i, width)| width.load(i) + "\n").collect();
    let operands: String = from.iter().enumerate().map(|(i, width)| format!(", {}", width.register(i))).collect();
    let body = format!(
        "mov.u32 %r15, %tid.x; mul.wide.u32 %d0, %r15, 8;\n{loads}{instruction} {}{operands};\n{}",
        to.register(7),
        to.store(N)
    );
    let mut arguments: Vec<u64> = inputs.iter().map(|buffer| buffer.address()).collect();
    arguments.push(output.address());
    run(&body, [1, 1, 1], [rows.len() as u32, 1, 1], &arguments)
        .unwrap_or_else(|error| panic!("{instruction}: {error}"));
    output.read().unwrap()
}

/// A case: an instruction, the widths of its result and operands, and rows of operands with the expected result.
struct Case<const N: usize>(&'static str, Width, [Width; N], &'static [([u64; N], u64)]);

impl<const N: usize> Case<N> {
    #[track_caller]
    fn check(&self) {
        let Case(instruction, to, from, rows) = self;
        let got = compute(instruction, *to, *from, &rows.iter().map(|(row, _)| *row).collect::<Vec<_>>());
        for ((row, expected), got) in rows.iter().zip(got) {
            assert_eq!(got, *expected, "{instruction} of {row:x?}: {got:#x} instead of {expected:#x}");
        }
    }
}

const fn f(value: f32) -> u64 {
    value.to_bits() as u64
}

/// A negative number in 32 bits.
const fn n32(value: i32) -> u64 {
    value as u32 as u64
}

/// A negative number in 64 bits.
const fn n64(value: i64) -> u64 {
    value as u64
}

const NAN: u64 = f(f32::NAN);
