//! Writes quantities, the same everywhere.

use std::borrow::Cow;

/// In KiB, MiB or GiB.
pub fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match bytes {
        ..0x10_0000 => format!("{kib:.1} KiB"),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", kib / 1024.0),
        0x4000_0000.. => format!("{:.2} GiB", kib / 1024.0 / 1024.0),
    }
}

/// A text from a file as it may be printed and drawn: characters that steer a terminal or turn the direction of the text are
/// spelled out, as in `\u{1b}`; line breaks too.
pub fn visible(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let spelled = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(spelled).collect())
}

/// The same for messages, without the end of what is very long.
pub fn quotable(text: &str) -> String {
    const MOST: usize = 40;
    let visible = visible(text);
    match visible.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &visible[..end]),
        None => visible.into_owned(),
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

/// Four digits and K, M, G or T for thousands, millions and so on; all digits up to 9,999. `61.10 M`.
pub fn short_count(number: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    let (mut value, mut unit) = (number as f64, None);
    for next in UNITS {
        // 999,950 is 1.000 M: rounding may carry.
        if number < 10_000 || value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, Some(next));
    }
    let Some(unit) = unit else { return grouped(number) };
    let decimals = [9.9995, 99.995, 999.95].iter().position(|&most| value < most).map_or(0, |place| 3 - place);
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(visible("conv\u{1b}[31m\u{0}\n\u{202e}ü"), "conv\\u{1b}[31m\\u{0}\\n\\u{202e}ü");
        assert_eq!(quotable(&"1".repeat(300)), "1".repeat(40) + "…");
    }

    #[test]
    fn four_digits() {
        let numbers = [0, 9_999, 10_000, 61_100_840, 714_188_480, 999_950, 91_416_125_440, u64::MAX];
        let texts = ["0", "9,999", "10.00 K", "61.10 M", "714.2 M", "1.000 M", "91.42 G", "18.45 E"];
        assert_eq!(numbers.map(short_count), texts);
    }

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
