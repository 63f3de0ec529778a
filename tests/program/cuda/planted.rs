//! The mistakes that `mutants.sh` plants: each still fits the code that it changes, or CI would try nothing.

use std::path::Path;

#[test]
fn every_patch_fits() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches: Vec<_> = std::fs::read_dir(home.join("tests/program/cuda/mutants")).unwrap().collect();
    assert!(patches.len() >= 5);
    for patch in patches {
        let (path, mut code, mut hunk) = (patch.unwrap().path(), String::new(), String::new());
        let text = std::fs::read_to_string(&path).unwrap() + "@@\n";
        for line in text.lines() {
            if line.starts_with("@@") || line.starts_with("--- ") {
                assert!(code.contains(&hunk), "{}: these lines are gone:\n{hunk}", path.display());
                hunk.clear();
            } else if let Some(file) = line.strip_prefix("+++ b/") {
                code = std::fs::read_to_string(home.join(file)).unwrap();
            } else if !line.starts_with('+') {
                hunk += line.get(1..).unwrap_or_default();
                hunk += "\n";
            }
        }
    }
}
