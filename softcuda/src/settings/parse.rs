//! Reading settings from text.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// A setting that cannot be read, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting(String);

impl InvalidSetting {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        InvalidSetting(why.into())
    }
}

impl Display for InvalidSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSetting {}

/// Variables by their name without `SOFTCUDA_`.
pub struct Reader<F>(pub F);

impl<F: Fn(&str) -> Option<OsString>> Reader<F> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub fn one<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, InvalidSetting>,
    ) -> Result<Option<T>, InvalidSetting> {
        let named = |error: InvalidSetting| InvalidSetting(format!("SOFTCUDA_{name}: {error}"));
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| named(InvalidSetting::new("not UTF-8")))?;
        parse(text).map(Some).map_err(named)
    }

    /// Values with commas between them.
    pub fn list<T: FromStr<Err = InvalidSetting>>(&self, name: &str) -> Result<Vec<T>, InvalidSetting> {
        let items =
            |text: &str| text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse).collect();
        Ok(self.one(name, items)?.unwrap_or_default())
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }
}

/// Joins values with commas, as `Reader::list` reads them.
pub fn join<T: Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

pub fn number<T: FromStr>(text: &str) -> Result<T, InvalidSetting> {
    text.trim().parse().map_err(|_| InvalidSetting(format!("`{text}` is not a number")))
}

/// Everything but `0` is yes.
pub fn flag(text: &str) -> Result<bool, InvalidSetting> {
    Ok(text != "0")
}

/// `12.9`, or `12` for 12.0.
pub fn version(text: &str) -> Result<(i32, i32), InvalidSetting> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Ok((number(major)?, number(minor)?))
}

/// `64M`, `2G`, `1000000`.
pub fn bytes(text: &str) -> Result<u64, InvalidSetting> {
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    let wide = number::<u64>(digits)?.checked_mul(1 << shift);
    wide.ok_or_else(|| InvalidSetting(format!("`{text}` is more than 64 bits can count")))
}
