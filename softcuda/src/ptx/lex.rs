//! PTX text to tokens.

/// A word or a punctuation mark, and the line it stands on (from 1).
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: u32,
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'$' | b'%')
}

/// Splits `source` into words (letters, digits, `. _ $ %`) and single punctuation marks; comments are dropped.
/// Stops at a NUL, which C callers end the text with.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let (mut at, mut line, mut out) = (0, 1, Vec::new());
    while at < bytes.len() && bytes[at] != 0 {
        let start = at;
        match bytes[at] {
            b'\n' => line += 1,
            c if c.is_ascii_whitespace() => {}
            b'/' if bytes[at..].starts_with(b"//") => {
                while at + 1 < bytes.len() && bytes[at + 1] != b'\n' {
                    at += 1;
                }
            }
            b'/' if bytes[at..].starts_with(b"/*") => {
                let end = source[at..].find("*/").map_or(bytes.len(), |n| at + n + 1);
                line += source[at..end].matches('\n').count() as u32;
                at = end;
            }
            b'"' => {
                at += source[at + 1..].find('"').map_or(0, |n| n + 1);
                out.push(Token { text: &source[start..=at], line });
            }
            c if is_word(c) => {
                while at + 1 < bytes.len() && is_word(bytes[at + 1]) {
                    at += 1;
                }
                out.push(Token { text: &source[start..=at], line });
            }
            c if c.is_ascii() => out.push(Token { text: &source[start..=at], line }),
            _ => {}
        }
        at += 1;
    }
    out
}
