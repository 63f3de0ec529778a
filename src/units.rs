//! Writes quantities, the same everywhere.

/// In KiB, MiB or GiB.
pub fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match bytes {
        ..0x10_0000 => format!("{kib:.1} KiB"),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", kib / 1024.0),
        0x4000_0000.. => format!("{:.2} GiB", kib / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!([1536, 1 << 20, 3 << 29].map(size), ["1.5 KiB", "1.0 MiB", "1.50 GiB"]);
    }
}
