//! Loads, stores and atomics of a warp, every one checked.

use super::isa::{Address, AtomOp, L32, L64, MemType, Op, Reg, Space};
use super::lane_mask::lanes_of;
use super::warp::{Context, Warp};
use crate::clock;
use crate::finding::{Finding, FindingKind};
use crate::memory::{self, Region};
use std::sync::atomic::{AtomicU32, Ordering};

/// A failing lane and what it did.
type Error = (usize, Finding);

/// Executes a load, store or atomic for `lanes`; `pc` picks the instruction's remembered region.
pub fn execute(warp: &mut Warp, op: &Op, lanes: u32, pc: u32, context: &mut Context) -> Result<(), Error> {
    match *op {
        Op::Load { d, count: 1, ty, from, .. }
            if load_row(warp, d[0], ty, from, lanes, &mut context.cache[pc as usize]) => {}
        Op::Store { v, count: 1, ty, to } if store_row(warp, v[0], ty, to, lanes, &mut context.cache[pc as usize]) => {}
        Op::Load { d, count, ty, from, volatile } => {
            if volatile {
                clock::spin().map_err(|finding| (lanes.trailing_zeros() as usize, finding))?;
            }
            let addresses = addresses(warp, from);
            check_alignment(&addresses, ty.size() * u64::from(count), lanes)?;
            for (i, &register) in d[..count as usize].iter().enumerate() {
                let addresses = addresses.map(|a| a.wrapping_add(i as u64 * ty.size()));
                let values = match from.space {
                    Space::Global => load_global(&addresses, ty, lanes, &mut context.cache[pc as usize])?,
                    Space::Shared => load_shared(warp, &addresses, ty, lanes, context)?,
                };
                warp.put_all(register, values, lanes);
            }
        }
        Op::Store { v, count, ty, to } => {
            let addresses = addresses(warp, to);
            check_alignment(&addresses, ty.size() * u64::from(count), lanes)?;
            for (i, &register) in v[..count as usize].iter().enumerate() {
                let addresses = addresses.map(|a| a.wrapping_add(i as u64 * ty.size()));
                let values = read(warp, register);
                match to.space {
                    Space::Global => store_global(&addresses, &values, ty, lanes, &mut context.cache[pc as usize])?,
                    Space::Shared => {
                        for lane in lanes_of(lanes) {
                            let thread = warp.index * 32 + lane as u32;
                            let stored = context.shared.store(addresses[lane], ty.size(), values[lane], thread);
                            stored.map_err(|finding| (lane, finding))?;
                        }
                    }
                }
            }
        }
        Op::Atomic { op, d, at, v } => atomic(warp, op, d, at, v, lanes, &mut context.cache[pc as usize])?,
        _ => {}
    }
    Ok(())
}

fn read(warp: &Warp, register: Reg) -> L64 {
    match register {
        Reg::R32(r) => warp.r32[r as usize].map(u64::from),
        Reg::R64(r) => warp.r64[r as usize],
        Reg::Pred(_) => [0; 32],
    }
}

fn addresses(warp: &Warp, at: Address) -> L64 {
    read(warp, at.base).map(|a| a.wrapping_add(at.offset as u64))
}

fn check_alignment(addresses: &L64, size: u64, lanes: u32) -> Result<(), Error> {
    match lanes_of(lanes).find(|&lane| addresses[lane] & (size - 1) != 0) {
        Some(lane) => {
            let text = format!("misaligned {size}-byte access at {:#x}", addresses[lane]);
            Err((lane, Finding::new(FindingKind::Misaligned, text)))
        }
        None => Ok(()),
    }
}

fn uninitialised(what: &str, address: u64) -> Finding {
    let text = format!("{what} uninitialised memory at {}", memory::describe(address));
    Finding::new(FindingKind::UninitialisedRead, text)
}

/// The region that holds `size` bytes at `address`, from the cache or the allocator.
fn region_of(address: u64, size: u64, cache: &mut Region) -> Result<Region, Finding> {
    if !cache.contains(address, size) {
        *cache = memory::find(address, size)?;
    }
    Ok(*cache)
}

/// The common case: all lanes active, at consecutive addresses within one region. Returns where the row begins.
fn row(warp: &Warp, at: Address, size: u64, lanes: u32, cache: &mut Region) -> Option<u64> {
    let (Space::Global, Reg::R64(base), u32::MAX) = (at.space, at.base, lanes) else { return None };
    let addresses = &warp.r64[base as usize];
    let first = addresses[0];
    let gaps = addresses.iter().enumerate().fold(0, |gaps, (i, a)| gaps | (a ^ first.wrapping_add(i as u64 * size)));
    let start = first.wrapping_add(at.offset as u64);
    (gaps == 0 && start.is_multiple_of(size) && region_of(start, 32 * size, cache).is_ok()).then_some(start)
}

/// Loads a row of 32 values by one copy; false where the common case does not hold.
fn load_row(warp: &mut Warp, d: Reg, ty: MemType, from: Address, lanes: u32, cache: &mut Region) -> bool {
    let Some(start) = row(warp, from, ty.size(), lanes, cache).filter(|&at| cache.is_written(at, 32 * ty.size()))
    else {
        return false;
    };
    let host = cache.host(start);
    // SAFETY: the region holds 32 values of the type from `start`, which is aligned.
    unsafe {
        match (d, ty) {
            (Reg::R32(d), MemType::B32) => warp.r32[d as usize] = host.cast::<L32>().read(),
            (Reg::R32(d), MemType::B16) => warp.r32[d as usize] = host.cast::<[u16; 32]>().read().map(u32::from),
            (Reg::R32(d), MemType::U8) => warp.r32[d as usize] = host.cast::<[u8; 32]>().read().map(u32::from),
            (Reg::R64(d), MemType::B64) => warp.r64[d as usize] = host.cast::<L64>().read(),
            _ => return false,
        }
    }
    true
}

fn store_row(warp: &Warp, v: Reg, ty: MemType, to: Address, lanes: u32, cache: &mut Region) -> bool {
    let Some(start) = row(warp, to, ty.size(), lanes, cache) else { return false };
    let host = cache.host(start);
    // SAFETY: as in `load_row`.
    unsafe {
        match (v, ty) {
            (Reg::R32(v), MemType::B32) => host.cast::<L32>().write(warp.r32[v as usize]),
            (Reg::R32(v), MemType::B16) => host.cast::<[u16; 32]>().write(warp.r32[v as usize].map(|v| v as u16)),
            (Reg::R32(v), MemType::U8) => host.cast::<[u8; 32]>().write(warp.r32[v as usize].map(|v| v as u8)),
            (Reg::R64(v), MemType::B64) => host.cast::<L64>().write(warp.r64[v as usize]),
            _ => return false,
        }
    }
    cache.mark_written(start, 32 * ty.size());
    true
}

fn load_global(addresses: &L64, ty: MemType, lanes: u32, cache: &mut Region) -> Result<L64, Error> {
    let size = ty.size();
    let mut out = [0; 32];
    for lane in lanes_of(lanes) {
        let address = addresses[lane];
        let region = region_of(address, size, cache).map_err(|finding| (lane, finding))?;
        if !region.is_written(address, size) {
            return Err((lane, uninitialised("read of", address)));
        }
        out[lane] = load_one(region, address, ty);
    }
    Ok(out)
}

#[inline(always)]
fn load_one(region: Region, address: u64, ty: MemType) -> u64 {
    let p = region.host(address);
    // SAFETY: the caller checked that the region holds the type's size at this address, aligned. Volatile, because
    // other threads may write the same memory, as on a GPU.
    unsafe {
        match ty {
            MemType::U8 => u64::from(p.read_volatile()),
            MemType::S8 => p.cast::<i8>().read_volatile() as u64,
            MemType::B16 => u64::from(p.cast::<u16>().read_volatile()),
            MemType::S16 => p.cast::<i16>().read_volatile() as u64,
            MemType::B32 => u64::from(p.cast::<u32>().read_volatile()),
            MemType::B64 => p.cast::<u64>().read_volatile(),
        }
    }
}

fn load_shared(warp: &Warp, addresses: &L64, ty: MemType, lanes: u32, context: &mut Context) -> Result<L64, Error> {
    let mut out = [0; 32];
    for lane in lanes_of(lanes) {
        let thread = warp.index * 32 + lane as u32;
        let value = context.shared.load(addresses[lane], ty.size(), thread).map_err(|finding| (lane, finding))?;
        out[lane] = match ty {
            MemType::S8 => value as i8 as u64,
            MemType::S16 => value as i16 as u64,
            MemType::U8 | MemType::B16 | MemType::B32 | MemType::B64 => value,
        };
    }
    Ok(out)
}

fn store_global(addresses: &L64, values: &L64, ty: MemType, lanes: u32, cache: &mut Region) -> Result<(), Error> {
    let size = ty.size();
    for lane in lanes_of(lanes) {
        let region = region_of(addresses[lane], size, cache).map_err(|finding| (lane, finding))?;
        store_one(region, addresses[lane], values[lane], size);
        region.mark_written(addresses[lane], size);
    }
    Ok(())
}

#[inline(always)]
fn store_one(region: Region, address: u64, value: u64, size: u64) {
    let p = region.host(address);
    // SAFETY: as in `load_one`.
    unsafe {
        match size {
            1 => p.write_volatile(value as u8),
            2 => p.cast::<u16>().write_volatile(value as u16),
            4 => p.cast::<u32>().write_volatile(value as u32),
            _ => p.cast::<u64>().write_volatile(value),
        }
    }
}

fn atomic(
    warp: &mut Warp,
    op: AtomOp,
    d: Option<u16>,
    at: Address,
    v: u16,
    lanes: u32,
    cache: &mut Region,
) -> Result<(), Error> {
    let addresses = addresses(warp, at);
    if at.space == Space::Shared {
        let finding = Finding::new(FindingKind::NotModelled, "atomics on shared memory");
        return Err((lanes.trailing_zeros() as usize, finding));
    }
    check_alignment(&addresses, 4, lanes)?;
    for lane in lanes_of(lanes) {
        let address = addresses[lane];
        let region = region_of(address, 4, cache).map_err(|finding| (lane, finding))?;
        if !region.is_written(address, 4) {
            return Err((lane, uninitialised("atomic on", address)));
        }
        // SAFETY: the region holds four aligned bytes here and outlives the launch.
        let cell = unsafe { AtomicU32::from_ptr(region.host(address).cast()) };
        let value = warp.r32[v as usize][lane];
        let old = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(combine(op, old, value)));
        if let (Some(d), Ok(old)) = (d, old) {
            warp.r32[d as usize][lane] = old;
        }
    }
    Ok(())
}

fn combine(op: AtomOp, old: u32, value: u32) -> u32 {
    match op {
        AtomOp::Add => old.wrapping_add(value),
        AtomOp::AddF32 => (f32::from_bits(old) + f32::from_bits(value)).to_bits(),
        AtomOp::Or => old | value,
        AtomOp::MaxS32 => (old as i32).max(value as i32) as u32,
        AtomOp::MaxU32 => old.max(value),
        AtomOp::MinS32 => (old as i32).min(value as i32) as u32,
        AtomOp::MinU32 => old.min(value),
        AtomOp::Exchange => value,
    }
}
