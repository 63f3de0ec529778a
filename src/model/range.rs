//! The numbers that a description's key may have, and the one wording for all others.

use std::fmt::{self, Display};

use toml::de::DeValue;

use crate::units::quotable;

/// The numbers that a key may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// Whole numbers, both ends in.
    Whole(u32, u32),
    /// The same, for both sides or for height and width.
    Sides(u32, u32),
    /// The same, or for all four sides, or `same`.
    Padding(u32, u32),
    /// Channels, height and width.
    Image(u32, u32),
    /// Numbers, both ends in.
    From(f64, f64),
    /// Numbers without the low end.
    Above(f64, f64),
    /// Numbers without the high end.
    Below(f64, f64),
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Range::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Range::Sides(low, high) => write!(f, "a whole number from {low} to {high}, or two, [height, width]"),
            Range::Padding(low, high) => write!(
                f,
                "a whole number from {low} to {high}, or two, [height, width], or four, [top, left, bottom, right], or \"same\""
            ),
            Range::Image(low, high) => write!(f, "[channels, height, width], whole numbers from {low} to {high}"),
            Range::From(low, high) => write!(f, "a number from {low} to {high}"),
            Range::Above(low, high) => write!(f, "a number above {low} and up to {high}"),
            Range::Below(low, high) => write!(f, "a number from {low} to below {high}"),
        }
    }
}

impl Range {
    /// Tells if it holds a number; of a whole one the caller knows that it is whole.
    fn holds(self, number: f64) -> bool {
        match self {
            Range::Whole(low, high) | Range::Sides(low, high) | Range::Padding(low, high) | Range::Image(low, high) => {
                (f64::from(low)..=f64::from(high)).contains(&number)
            }
            Range::From(low, high) => (low..=high).contains(&number),
            Range::Above(low, high) => number > low && number <= high,
            Range::Below(low, high) => (low..high).contains(&number),
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Range::Whole(..) | Range::Sides(..) | Range::Padding(..) | Range::Image(..))
    }

    /// The refusal of what was found, in words.
    pub(crate) fn refusal(self, key: &str, found: impl Display) -> String {
        format!("{key} must be {self}, not {}", quotable(&found.to_string()))
    }

    /// Refuses a number that was read.
    pub(crate) fn refuses(self, key: &str, number: impl Display + Copy + Into<f64>) -> Option<String> {
        (!self.holds(number.into())).then(|| self.refusal(key, number))
    }

    /// Refuses a size that was read.
    pub(crate) fn refuses_size(self, key: &str, size: usize) -> Option<String> {
        (!self.holds(size as f64)).then(|| self.refusal(key, size))
    }

    /// Reads a number as it is written.
    pub(crate) fn parse<T: std::str::FromStr>(self, key: &str, text: &str) -> Result<T, String> {
        let number = text.parse::<f64>().ok().filter(|&number| self.holds(number));
        number.and_then(|_| text.parse().ok()).ok_or_else(|| self.refusal(key, format!("`{text}`")))
    }

    /// Refuses a value of TOML.
    pub(crate) fn refuses_value(self, key: &str, value: &DeValue) -> Option<String> {
        (!self.holds_value(value)).then(|| self.refusal(key, spoken(value)))
    }

    fn holds_value(self, value: &DeValue) -> bool {
        let sides = match (self, value) {
            (Range::Padding(..), DeValue::String(word)) => return word == "same",
            (Range::Sides(low, high), DeValue::Array(_)) => Some((&[2][..], Range::Whole(low, high))),
            (Range::Padding(low, high), DeValue::Array(_)) => Some((&[2, 4][..], Range::Whole(low, high))),
            (Range::Image(low, high), _) => Some((&[3][..], Range::Whole(low, high))),
            _ => None,
        };
        if let Some((counts, side)) = sides {
            let all = value.as_array().filter(|sides| counts.contains(&sides.len()));
            return all.is_some_and(|sides| sides.iter().all(|one| side.holds_value(one.get_ref())));
        }
        let number = match value {
            DeValue::Integer(whole) => {
                i128::from_str_radix(whole.as_str(), whole.radix()).ok().map(|whole| whole as f64)
            }
            DeValue::Float(real) if !self.is_whole() => real.as_str().parse().ok(),
            DeValue::Float(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        number.is_some_and(|number| self.holds(number))
    }
}

/// A value as it is written, where that is short.
fn spoken(value: &DeValue) -> String {
    match value {
        DeValue::Integer(whole) => whole.to_string(),
        DeValue::Float(real) => real.to_string(),
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Boolean(word) => word.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items = items.iter().take(5).map(|item| spoken(item.get_ref()));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        DeValue::Table(_) => "a table".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wording() {
        let whole = Range::Whole(1, 1 << 20);
        for bad in ["-1", "0", "1048577", "99999999999999999999", "1.5", "nan", "inf", "1e300", "x", ""] {
            let message = whole.parse::<usize>("channels", bad).unwrap_err();
            assert_eq!(message, format!("channels must be a whole number from 1 to 1048576, not `{bad}`"));
        }
        assert_eq!((whole.parse("a", "1"), whole.parse("a", "1048576")), (Ok(1usize), Ok(1048576)));
        let above = Range::Above(0.0, 1e6);
        assert_eq!(
            above.parse::<f32>("beta", "0").unwrap_err(),
            "beta must be a number above 0 and up to 1000000, not `0`"
        );
        for bad in ["nan", "-nan", "inf", "-inf", "-0.5", "1e300"] {
            assert!(above.parse::<f32>("beta", bad).is_err(), "{bad}");
        }
        assert_eq!(Range::Below(0.0, 1.0).refuses("p", 1f32).unwrap(), "p must be a number from 0 to below 1, not 1");
        assert_eq!(Range::Below(0.0, 1.0).refuses("p", 0.5f32), None);
    }
}
