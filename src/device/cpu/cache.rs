//! The size of the last-level caches, as Linux tells it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Linux's folder of processors, one subfolder each.
pub const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Bytes of all last-level caches together: of each, one, however many processors share it. None where the system does not tell.
pub fn last_level_bytes(processors: &Path) -> Option<usize> {
    let mut caches = BTreeMap::new();
    for processor in fs::read_dir(processors).ok()?.flatten() {
        let of_processor = fs::read_dir(processor.path().join("cache")).into_iter().flatten().flatten();
        let last = of_processor.filter_map(|cache| Some((number(&cache.path().join("level"))?, cache.path()))).max();
        if let Some((_, cache)) = last {
            let sharers = fs::read_to_string(cache.join("shared_cpu_list")).ok()?;
            caches.insert(sharers, 1024 * number(&cache.join("size"))?);
        }
    }
    (!caches.is_empty()).then(|| caches.values().sum())
}

/// The number that a file holds; sizes have a K behind it.
fn number(file: &Path) -> Option<usize> {
    fs::read_to_string(file).ok()?.trim().trim_end_matches('K').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four processors, of which two share a cache of the third level each; one tells nothing of its caches.
    #[test]
    fn shared_caches_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |processor: usize, level: usize, size: &str, sharers: &str| {
            let cache = folder.path().join(format!("cpu{processor}/cache/index{level}"));
            fs::create_dir_all(&cache).unwrap();
            for (name, text) in
                [("level", format!("{level}\n")), ("size", format!("{size}\n")), ("shared_cpu_list", sharers.into())]
            {
                fs::write(cache.join(name), text).unwrap();
            }
        };
        assert_eq!(last_level_bytes(folder.path()), None);
        for processor in 0..4 {
            cache(processor, 2, "1024K", &processor.to_string());
            cache(processor, 3, "32768K", if processor < 2 { "0-1" } else { "2-3" });
        }
        fs::create_dir(folder.path().join("cpu4")).unwrap();
        fs::create_dir(folder.path().join("cpufreq")).unwrap();
        assert_eq!(last_level_bytes(folder.path()), Some(2 * 32768 * 1024));
        assert_eq!(last_level_bytes(Path::new("/nonexistent")), None);
    }
}
