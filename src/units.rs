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

/// Digits in groups of three, as in `61,100,840`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!([1536, 1 << 20, 3 << 29].map(size), ["1.5 KiB", "1.0 MiB", "1.50 GiB"]);
    }

    #[test]
    fn numbers() {
        assert_eq!(
            ["0", "999", "1,000", "61,100,840"],
            [0, 999, 1000, 61_100_840].map(grouped).each_ref().map(String::as_str)
        );
    }
}
