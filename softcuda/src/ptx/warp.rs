//! A warp: 32 lanes that share instructions while they agree on where to go.
//!
//! Lanes at one place form a group. The group furthest behind runs first, so that groups meet again where their
//! paths join; barriers and shuffles wait for that.

use super::access;
use super::isa::{Instruction, Kernel, L32, L64, Op, Reg, ShuffleMode, Special};
use super::lane_mask::{has_zero, lanes_of, put, put_bits, select};
use super::launch::{KernelError, Launch};
use super::shared::Shared;
use crate::clock;
use crate::finding::{Finding, FindingKind};
use crate::memory::Region;

/// More instructions than this in one warp: the kernel does not end.
const LIMIT: u64 = 1 << 33;

/// The surroundings of a warp: its kernel, launch, block and shared memory.
pub struct Context<'a> {
    pub kernel: &'a Kernel,
    pub launch: &'a Launch<'a>,
    pub block: [u32; 3],
    pub shared: &'a mut Shared,
    pub cache: &'a mut [Region],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Barrier,
    Done,
}

/// Lanes (a bit each) at one instruction; `waiting` for the others at a barrier or shuffle.
#[derive(Clone, Copy, Debug)]
struct Group {
    pc: u32,
    lanes: u32,
    waiting: bool,
}

pub struct Warp {
    pub index: u32,
    /// Lanes that exist: a block's last warp may be partial.
    present: u32,
    live: u32,
    groups: Vec<Group>,
    pub r32: Vec<L32>,
    pub r64: Vec<L64>,
    pub predicates: Vec<u32>,
    /// Each lane's thread index along x, y and z.
    threads: [L64; 3],
    executed: u64,
}

/// The effect of one instruction on its group.
enum Flow {
    Next,
    Jump(u32),
    /// These lanes go to the target, the others on.
    Split {
        target: u32,
        lanes: u32,
    },
    Exit(u32),
    /// A barrier or shuffle that not all lanes have reached.
    Wait,
    Barrier,
}

impl Warp {
    pub fn new(kernel: &Kernel, index: u32, block: [u32; 3]) -> Self {
        let lanes = (block.iter().product::<u32>() - index * 32).min(32);
        let [x, y, _] = block;
        let thread = |lane: usize| index * 32 + lane as u32;
        let along_x = std::array::from_fn(|lane| u64::from(thread(lane) % x));
        let along_y = std::array::from_fn(|lane| u64::from(thread(lane) / x % y));
        let along_z = std::array::from_fn(|lane| u64::from(thread(lane) / (x * y)));
        let mut warp = Warp {
            index,
            present: u32::MAX >> (32 - lanes),
            live: 0,
            groups: Vec::new(),
            r32: vec![[0; 32]; kernel.registers32],
            r64: vec![[0; 32]; kernel.registers64],
            predicates: vec![0; kernel.predicates],
            threads: [along_x, along_y, along_z],
            executed: 0,
        };
        for &(r, value) in &kernel.constants32 {
            warp.r32[r as usize] = [value; 32];
        }
        for &(r, value) in &kernel.constants64 {
            warp.r64[r as usize] = [value; 32];
        }
        warp
    }

    /// Back to the first instruction, for the next block.
    pub fn start(&mut self) {
        self.live = self.present;
        self.executed = 0;
        self.groups.clear();
        self.groups.push(Group { pc: 0, lanes: self.present, waiting: false });
    }

    /// Runs to the next barrier or to the end.
    pub fn run(&mut self, context: &mut Context) -> Result<Stop, KernelError> {
        loop {
            self.merge();
            let next = (0..self.groups.len()).filter(|&i| !self.groups[i].waiting).min_by_key(|&i| self.groups[i].pc);
            let Some(next) = next else {
                return match self.groups.first() {
                    None => Ok(Stop::Done),
                    Some(group) => Err(self.error(context, group.pc, None, divergent())),
                };
            };
            let group = self.groups.swap_remove(next);
            if self.run_group(context, group)? {
                return Ok(Stop::Barrier);
            }
        }
    }

    /// Joins groups that stand at the same instruction; a joined group tries again.
    fn merge(&mut self) {
        let mut i = 0;
        while i < self.groups.len() {
            let mut j = i + 1;
            while j < self.groups.len() {
                if self.groups[i].pc == self.groups[j].pc {
                    self.groups[i].lanes |= self.groups[j].lanes;
                    self.groups[i].waiting = false;
                    self.groups.swap_remove(j);
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
    }

    /// Runs one group until it meets another, splits, waits or ends; true at a barrier that all have reached.
    fn run_group(&mut self, context: &mut Context, mut group: Group) -> Result<bool, KernelError> {
        let others = self.groups.iter().map(|g| g.pc).min().unwrap_or(u32::MAX);
        let code = &context.kernel.code;
        loop {
            self.executed += 1;
            if self.executed > LIMIT {
                let finding = Finding::new(FindingKind::EndlessKernel, "the kernel does not end");
                return Err(self.error(context, group.pc, None, finding));
            }
            let flow = self.step(&code[group.pc as usize], group, context)?;
            match flow {
                Flow::Next => group.pc += 1,
                Flow::Jump(target) => group.pc = target,
                Flow::Split { target, lanes } => {
                    self.groups.push(Group { pc: target, lanes, waiting: false });
                    self.groups.push(Group { pc: group.pc + 1, lanes: group.lanes & !lanes, waiting: false });
                    return Ok(false);
                }
                Flow::Exit(lanes) => {
                    self.live &= !lanes;
                    group.lanes &= !lanes;
                    if group.lanes == 0 {
                        // lanes that wait may have waited only for these
                        self.groups.iter_mut().for_each(|g| g.waiting = false);
                        return Ok(false);
                    }
                    group.pc += 1;
                }
                Flow::Wait => {
                    self.groups.push(Group { waiting: true, ..group });
                    return Ok(false);
                }
                Flow::Barrier => {
                    self.groups.push(Group { pc: group.pc + 1, ..group });
                    return Ok(true);
                }
            }
            if group.pc >= others {
                self.groups.push(group);
                return Ok(false);
            }
        }
    }

    /// Executes one instruction for a group.
    fn step(&mut self, instruction: &Instruction, group: Group, context: &mut Context) -> Result<Flow, KernelError> {
        let lanes = match instruction.guard {
            None => group.lanes,
            Some((p, negate)) => {
                group.lanes & if negate { !self.predicates[p as usize] } else { self.predicates[p as usize] }
            }
        };
        match instruction.op {
            Op::Branch { target } if lanes == group.lanes => return Ok(Flow::Jump(target)),
            _ if lanes == 0 => return Ok(Flow::Next),
            Op::Branch { target } => return Ok(Flow::Split { target, lanes }),
            Op::Return => return Ok(Flow::Exit(lanes)),
            Op::Barrier if lanes == self.live => return Ok(Flow::Barrier),
            Op::Barrier => return Ok(Flow::Wait),
            Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => {
                access::execute(self, &instruction.op, lanes, group.pc, context)
                    .map_err(|(lane, finding)| self.error(context, group.pc, Some(lane), finding))?;
            }
            Op::Shuffle { mode, d, ok, a, b, c, members } => {
                let members = self.r32[members as usize][lanes.trailing_zeros() as usize];
                if members & self.live & !lanes != 0 {
                    return Ok(Flow::Wait);
                }
                self.shuffle(mode, d, ok, a, b, c, lanes)
                    .map_err(|finding| self.error(context, group.pc, None, finding))?;
            }
            Op::Divide32 { b, .. } if has_zero(&self.r32[b as usize], lanes) => {
                return Err(self.error(context, group.pc, None, by_zero()));
            }
            Op::Divide64 { b, .. } if has_zero(&self.r64[b as usize], lanes) => {
                return Err(self.error(context, group.pc, None, by_zero()));
            }
            Op::Parameter { d, offset, ty } => {
                let mut value = [0; 8];
                let size = ty.size() as usize;
                value[..size].copy_from_slice(&context.launch.parameters[offset..offset + size]);
                self.put_same(d, u64::from_le_bytes(value), lanes);
            }
            Op::Special { d, which } => self.special(d, which, context, lanes),
            _ => self.compute(&instruction.op, lanes),
        }
        Ok(Flow::Next)
    }

    /// Arithmetic: reads registers, writes registers, cannot fail.
    fn compute(&mut self, op: &Op, lanes: u32) {
        let (r32, r64, p) = (&mut self.r32, &mut self.r64, &mut self.predicates);
        macro_rules! w {
            ($i:expr) => {
                r32[$i as usize]
            };
        }
        macro_rules! l {
            ($i:expr) => {
                r64[$i as usize]
            };
        }
        match *op {
            Op::Unary32 { f, d, a } => put(f(&w!(a)), &mut w!(d), lanes),
            Op::Binary32 { f, d, a, b } | Op::Divide32 { f, d, a, b } => put(f(&w!(a), &w!(b)), &mut w!(d), lanes),
            Op::Ternary32 { f, d, a, b, c } => put(f(&w!(a), &w!(b), &w!(c)), &mut w!(d), lanes),
            Op::Unary64 { f, d, a } => put(f(&l!(a)), &mut l!(d), lanes),
            Op::Binary64 { f, d, a, b } | Op::Divide64 { f, d, a, b } => put(f(&l!(a), &l!(b)), &mut l!(d), lanes),
            Op::Shift64 { f, d, a, b } => put(f(&l!(a), &w!(b)), &mut l!(d), lanes),
            Op::Widen { f, d, a } => put(f(&w!(a)), &mut l!(d), lanes),
            Op::Narrow { f, d, a } => put(f(&l!(a)), &mut w!(d), lanes),
            Op::MultiplyWide { f, d, a, b } => put(f(&w!(a), &w!(b)), &mut l!(d), lanes),
            Op::MultiplyAddWide { f, d, a, b, c } => {
                let (product, addend) = (f(&w!(a), &w!(b)), l!(c));
                put(std::array::from_fn(|i| product[i].wrapping_add(addend[i])), &mut l!(d), lanes);
            }
            Op::Compare32 { f, d, a, b, with } => put_bits(f(&w!(a), &w!(b)), p, d, with, lanes),
            Op::Compare64 { f, d, a, b, with } => put_bits(f(&l!(a), &l!(b)), p, d, with, lanes),
            Op::Logic { f, d, a, b } => put_bits(f(p[a as usize], p[b as usize]), p, d, None, lanes),
            Op::Select32 { d, a, b, p: choice } => put(select(&w!(a), &w!(b), p[choice as usize]), &mut w!(d), lanes),
            Op::Select64 { d, a, b, p: choice } => put(select(&l!(a), &l!(b), p[choice as usize]), &mut l!(d), lanes),
            Op::Pack { d, low, high } => {
                let (low, high) = (&w!(low), &w!(high));
                put(std::array::from_fn(|i| u64::from(high[i]) << 32 | u64::from(low[i])), &mut l!(d), lanes);
            }
            Op::Unpack { low, high, a } => {
                let value = l!(a);
                put(value.map(|v| v as u32), &mut w!(low), lanes);
                put(value.map(|v| (v >> 32) as u32), &mut w!(high), lanes);
            }
            Op::Parameter { .. } | Op::Special { .. } | Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => {}
            Op::Shuffle { .. } | Op::Branch { .. } | Op::Barrier | Op::Return => {}
        }
    }

    /// Writes a register of either width.
    pub fn put_all(&mut self, d: Reg, value: L64, lanes: u32) {
        match d {
            Reg::R32(d) => put(value.map(|v| v as u32), &mut self.r32[d as usize], lanes),
            Reg::R64(d) => put(value, &mut self.r64[d as usize], lanes),
            Reg::Pred(_) => {}
        }
    }

    /// Writes one value to all lanes of a register of either width.
    fn put_same(&mut self, d: Reg, value: u64, lanes: u32) {
        match d {
            Reg::R32(d) => put([value as u32; 32], &mut self.r32[d as usize], lanes),
            Reg::R64(d) => put([value; 32], &mut self.r64[d as usize], lanes),
            Reg::Pred(_) => {}
        }
    }

    fn special(&mut self, d: Reg, which: Special, context: &Context, lanes: u32) {
        match which {
            Special::Thread(axis) => self.put_all(d, self.threads[axis as usize], lanes),
            Special::Lane => self.put_all(d, std::array::from_fn(|lane| lane as u64), lanes),
            Special::BlockSize(axis) => self.put_same(d, context.launch.block[axis as usize].into(), lanes),
            Special::Block(axis) => self.put_same(d, context.block[axis as usize].into(), lanes),
            Special::GridSize(axis) => self.put_same(d, context.launch.grid[axis as usize].into(), lanes),
            // As if each block of a row had a multiprocessor of its own.
            Special::Multiprocessor => self.put_same(d, context.block[0].into(), lanes),
            Special::Clock => self.put_same(d, clock::cycles(), lanes),
            Special::GlobalTimer => self.put_same(d, clock::global_timer(), lanes),
        }
    }

    /// The PTX manual's shfl.sync: `c` holds the clamp (bits 0-4) and the segment mask (bits 8-12).
    #[expect(clippy::too_many_arguments, reason = "the operands of the instruction")]
    fn shuffle(
        &mut self,
        mode: ShuffleMode,
        d: u16,
        ok: Option<u16>,
        a: u16,
        b: u16,
        c: u16,
        lanes: u32,
    ) -> Result<(), Finding> {
        let (values, distances, controls) = (self.r32[a as usize], self.r32[b as usize], self.r32[c as usize]);
        let (mut out, mut in_range) = (values, 0);
        for lane in lanes_of(lanes) {
            let distance = (distances[lane] & 31) as i32;
            let (clamp, segment) = ((controls[lane] & 31) as i32, (controls[lane] >> 8 & 31) as i32);
            let here = lane as i32;
            let (lowest, highest) = (here & segment, here & segment | clamp & !segment);
            let (source, valid) = match mode {
                ShuffleMode::Up => (here - distance, here - distance >= highest),
                ShuffleMode::Down => (here + distance, here + distance <= highest),
                ShuffleMode::Butterfly => (here ^ distance, here ^ distance <= highest),
                ShuffleMode::Index => (lowest | distance & !segment, lowest | distance & !segment <= highest),
            };
            let source = if valid { source as usize } else { lane };
            if lanes >> source & 1 == 0 {
                let text = format!("lane {lane} shuffles with lane {source}, which does not take part");
                return Err(Finding::new(FindingKind::DivergentThreads, text));
            }
            out[lane] = values[source];
            in_range |= u32::from(valid) << lane;
        }
        put(out, &mut self.r32[d as usize], lanes);
        if let Some(p) = ok {
            put_bits(in_range, &mut self.predicates, p, None, lanes);
        }
        Ok(())
    }

    fn error(&self, context: &Context, pc: u32, lane: Option<usize>, finding: Finding) -> KernelError {
        KernelError {
            kernel: context.kernel.name.clone(),
            line: context.kernel.code[pc as usize].line,
            block: context.block,
            thread: lane.map(|lane| self.index * 32 + lane as u32),
            kind: finding.kind,
            what: finding.text,
        }
    }
}

fn divergent() -> Finding {
    let text = "only some of the warp's threads reach this: divergent barrier or shuffle";
    Finding::new(FindingKind::DivergentThreads, text)
}

fn by_zero() -> Finding {
    Finding::new(FindingKind::DivisionByZero, "integer division by zero")
}
