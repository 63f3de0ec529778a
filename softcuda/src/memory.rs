//! Device memory. Addresses are the device's own, far from any host address, and never used twice: a host access to
//! one faults, and a use after free is told from everything else. Fresh memory is filled with NaN (all bits set), and
//! a shadow bit per byte says whether it was written.

use crate::finding::{Finding, FindingKind};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, RwLock};

/// Where device addresses begin. No x86-64 or AArch64 process has memory there.
const DEVICE_BASE: u64 = 1 << 60;
/// Between allocations, so that running over the end of one does not reach the next.
const GAP: u64 = 4096;
const ALIGNMENT: usize = 256;

/// A live allocation as the interpreter and the libraries see it.
#[derive(Clone, Copy)]
pub struct Region {
    low: u64,
    high: u64,
    host: *mut u8,
    /// A bit per byte; null where writes are not tracked (host memory).
    shadow: *const AtomicU64,
}

// SAFETY: a region points to memory that any thread may use, as on a device; the caller orders its accesses by
// streams. The shadow is atomic.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    pub const EMPTY: Region = Region { low: 1, high: 0, host: std::ptr::null_mut(), shadow: std::ptr::null() };

    #[inline(always)]
    pub fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.low && address.checked_add(size).is_some_and(|end| end <= self.high)
    }

    /// The host's address of a device address that the region contains.
    #[inline(always)]
    pub fn host(&self, address: u64) -> *mut u8 {
        self.host.wrapping_add((address - self.low) as usize)
    }

    /// The shadow words of a byte range, each with the mask of the range's bits.
    fn shadow_words(&self, address: u64, size: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let (mut at, end) = (address - self.low, address - self.low + size);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (word, first) = (at / 64, at % 64);
            let last = (end - word * 64).min(64);
            let mask = (u64::MAX >> (64 - (last - first))) << first;
            at = word * 64 + last;
            // SAFETY: the shadow has a bit for every byte of the region, and lives as long as the allocation.
            Some((unsafe { &*self.shadow.add(word as usize) }, mask))
        })
    }

    /// Whether every byte of the range has been written.
    pub fn is_written(&self, address: u64, size: u64) -> bool {
        self.shadow.is_null()
            || self.shadow_words(address, size).all(|(word, mask)| word.load(Ordering::Relaxed) & mask == mask)
    }

    pub fn mark_written(&self, address: u64, size: u64) {
        if self.shadow.is_null() {
            return;
        }
        for (word, mask) in self.shadow_words(address, size) {
            if word.load(Ordering::Relaxed) & mask != mask {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// Takes the written marks of another range of the same size, as a copy does.
    pub fn copy_written(&self, to: u64, from: Region, address: u64, size: u64) {
        if from.is_written(address, size) {
            return self.mark_written(to, size);
        }
        for i in (0..size).filter(|i| from.is_written(address + i, 1)) {
            self.mark_written(to + i, 1);
        }
    }
}

struct Allocation {
    region: Region,
    layout: Layout,
    _shadow: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Table {
    live: BTreeMap<u64, Allocation>,
    /// Sizes of what was freed, by address.
    freed: BTreeMap<u64, u64>,
    used: u64,
    next: u64,
}

// SAFETY: the raw pointers are owned by the table and only handed out as regions.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(|| RwLock::new(Table { next: DEVICE_BASE, ..Table::default() }));

fn table() -> std::sync::RwLockWriteGuard<'static, Table> {
    TABLE.write().unwrap_or_else(|e| e.into_inner())
}

/// Allocates device memory, or tells that `limit` bytes in all would be passed.
pub fn allocate(size: usize, limit: u64) -> Option<u64> {
    let mut table = table();
    if table.used + size as u64 > limit {
        return None;
    }
    let address = table.next;
    let shadow: Box<[AtomicU64]> = (0..size.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
    insert(&mut table, address, size, shadow)?;
    table.next += (size as u64 + GAP).next_multiple_of(ALIGNMENT as u64);
    Some(address)
}

fn insert(table: &mut Table, address: u64, size: usize, shadow: Box<[AtomicU64]>) -> Option<*mut u8> {
    let layout = Layout::from_size_align(size.max(1), ALIGNMENT).ok()?;
    // SAFETY: the layout is not empty; the new block is filled before anything reads it.
    let host = unsafe {
        let host = std::alloc::alloc(layout);
        if host.is_null() {
            return None;
        }
        std::ptr::write_bytes(host, 0xff, layout.size());
        host
    };
    let shadow_pointer = if shadow.is_empty() { std::ptr::null() } else { shadow.as_ptr() };
    let low = if address == 0 { host as u64 } else { address };
    let region = Region { low, high: low + size as u64, host, shadow: shadow_pointer };
    table.used += if address == 0 { 0 } else { size as u64 };
    table.live.insert(low, Allocation { region, layout, _shadow: shadow });
    Some(host)
}

/// Allocates pinned host memory, which the device sees at its host address.
pub fn allocate_pinned(size: usize) -> Option<*mut u8> {
    insert(&mut table(), 0, size, Box::default())
}

/// Frees what starts at `address`, on the device or pinned.
pub fn free(address: u64) -> Result<(), Finding> {
    let mut table = table();
    let Some(allocation) = table.live.remove(&address) else {
        let known = table.freed.contains_key(&address);
        let what = if known { "was freed before" } else { "is no allocation" };
        return Err(Finding::new(FindingKind::InvalidFree, format!("free of {address:#x}, which {what}")));
    };
    let size = allocation.region.high - allocation.region.low;
    if address >= DEVICE_BASE {
        table.used -= size;
        table.freed.insert(address, size);
    }
    // SAFETY: allocated with this layout, and no longer in the table.
    unsafe { std::alloc::dealloc(allocation.region.host, allocation.layout) };
    Ok(())
}

/// The live region that holds `size` bytes at `address`, or what is wrong with them.
pub fn find(address: u64, size: u64) -> Result<Region, Finding> {
    let table = TABLE.read().unwrap_or_else(|e| e.into_inner());
    let region = table.live.range(..=address).next_back().map(|(_, allocation)| allocation.region);
    match region {
        Some(region) if region.contains(address, size) => Ok(region),
        _ => Err(explain(&table, address, size)),
    }
}

fn explain(table: &Table, address: u64, size: u64) -> Finding {
    let access = format!("{size} bytes at {address:#x}");
    if let Some((low, region)) = table.live.range(..=address).next_back().map(|(low, a)| (low, a.region))
        && address < region.high + GAP
    {
        let (at, of) = (address - low, region.high - low);
        let text = format!("{access} are out of bounds: byte {at} of an allocation of {of}");
        return Finding::new(FindingKind::OutOfBounds, text);
    }
    if let Some((low, bytes)) = table.freed.range(..=address).next_back()
        && address < low + bytes
    {
        let text = format!("{access} were freed before: byte {} of a former allocation of {bytes}", address - low);
        return Finding::new(FindingKind::UseAfterFree, text);
    }
    let what = if address == 0 { ": null pointer" } else { " are not device memory" };
    Finding::new(FindingKind::InvalidAddress, format!("{access}{what}"))
}

/// An address in words, for messages.
pub fn describe(address: u64) -> String {
    match find(address, 1) {
        Ok(region) => format!("byte {} of an allocation of {}", address - region.low, region.high - region.low),
        Err(finding) => finding.text,
    }
}

/// Whether the address is the device's own, as opposed to host memory.
pub fn is_device_address(address: u64) -> bool {
    (DEVICE_BASE..1 << 61).contains(&address)
}

/// Bytes allocated on the device.
pub fn used() -> u64 {
    TABLE.read().unwrap_or_else(|e| e.into_inner()).used
}

/// What is still allocated, a line each.
pub fn leaks() -> Vec<String> {
    let table = TABLE.read().unwrap_or_else(|e| e.into_inner());
    let line = |(&low, a): (&u64, &Allocation)| {
        let kind = if low >= DEVICE_BASE { "device" } else { "pinned host" };
        format!("{} bytes of {kind} memory at {low:#x}", a.region.high - a.region.low)
    };
    table.live.iter().map(line).collect()
}

/// Bytes to read at `address`: within one allocation, and written before.
pub fn readable(address: u64, size: usize) -> Result<*const u8, Finding> {
    if size == 0 {
        return Ok(std::ptr::dangling());
    }
    let region = find(address, size as u64)?;
    if !region.is_written(address, size as u64) {
        let text = format!("read of uninitialised memory: {size} bytes at {}", describe(address));
        return Err(Finding::new(FindingKind::UninitialisedRead, text));
    }
    Ok(region.host(address))
}

/// Bytes to write at `address`, within one allocation; they count as written.
pub fn writable(address: u64, size: usize) -> Result<*mut u8, Finding> {
    if size == 0 {
        return Ok(std::ptr::dangling_mut());
    }
    let region = find(address, size as u64)?;
    region.mark_written(address, size as u64);
    Ok(region.host(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_told_apart_by_what_is_wrong_with_it() {
        let a = allocate(100, u64::MAX).expect("memory");
        let kind = |result: Result<*const u8, Finding>| result.map_err(|finding| finding.kind);
        assert_eq!(kind(readable(a, 4)), Err(FindingKind::UninitialisedRead));
        assert!(writable(a + 4, 8).is_ok());
        assert!(readable(a + 4, 8).is_ok());
        assert_eq!(kind(readable(a + 3, 4)), Err(FindingKind::UninitialisedRead));
        assert!(writable(a + 96, 8).is_err_and(|finding| finding.kind == FindingKind::OutOfBounds));
        assert!(free(a + 4).is_err());
        assert!(free(a).is_ok());
        assert!(free(a).is_err_and(|f| f.kind == FindingKind::InvalidFree && f.text.contains("freed before")));
        assert_eq!(kind(readable(a + 4, 8)), Err(FindingKind::UseAfterFree));
        assert!(readable(16, 8).is_err_and(|f| f.text.contains("not device memory")));
        assert!(readable(0, 8).is_err_and(|f| f.text.contains("null pointer")));
    }

    #[test]
    fn the_shadow_follows_ranges_across_words() {
        let a = allocate(400, u64::MAX).expect("memory");
        let region = find(a, 400).expect("live");
        region.mark_written(a + 60, 200);
        for i in 0..400 {
            assert_eq!(region.is_written(a + i, 1), (60..260).contains(&i), "byte {i}");
        }
        assert!(region.is_written(a + 60, 200) && !region.is_written(a + 59, 2) && !region.is_written(a + 259, 2));
        free(a).expect("live");
    }
}
