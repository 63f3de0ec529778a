//! The table of GPUs, and faults in a user's own.

use super::Gpu;
use super::tests::PAPER;
use crate::plan::Precision;

#[test]
fn the_table_holds_what_the_datasheets_say() {
    let gpus = Gpu::built_in();
    assert!(gpus.len() >= 45);
    for (name, f32, f16, bandwidth, memory) in [
        ("V100-SXM2", 15.7, 125.0, 900.0, 16.0),
        ("a100 sxm", 19.5, 312.0, 1555.0, 40.0),
        ("A100 SXM 80 GB", 19.5, 312.0, 2039.0, 80.0),
        ("h100-sxm", 66.9, 989.4, 3350.0, 80.0),
        ("H200 SXM", 66.9, 989.4, 4800.0, 141.0),
    ] {
        let gpu = Gpu::find(&gpus, name).unwrap();
        assert_eq!((gpu.f32, gpu.f16, gpu.bandwidth, gpu.memory), (f32, Some(f16), bandwidth, memory), "{name}");
    }
    let on_tensor_cores = |name, precision| Gpu::find(&gpus, name).unwrap().uses_tensor_cores(precision);
    assert!(!on_tensor_cores("p100-sxm2", Precision::F16) && !on_tensor_cores("a100-sxm", Precision::F32));
    assert!(on_tensor_cores("v100-sxm2", Precision::F16) && on_tensor_cores("a100-sxm", Precision::Tf32));
    for gpu in &gpus {
        assert!(
            gpu.source.is_some() && gpu.l2_mb.is_some() && gpu.watts.is_some() && gpu.generation.is_some(),
            "{}",
            gpu.name
        );
        assert_eq!(gpu.tf32.is_some(), gpu.bf16.is_some(), "{}: both came with sm_80", gpu.name);
    }
}

#[track_caller]
fn assert_refused(text: &str, words: &[&str]) {
    let message = Gpu::parse(text, "mine.toml").unwrap_err().to_string();
    assert!(words.iter().all(|word| message.contains(word)) && message.lines().count() == 1, "{message}");
}

#[test]
fn tables_are_refused_with_file_and_line() {
    assert_refused(&format!("{PAPER}cores = 5\n"), &["mine.toml:12", "unknown key `cores`"]);
    assert_refused("[[gpu]]\nname = \"a\"\n", &["mine.toml:1", "missing `title`"]);
    assert_refused(&PAPER.replace("1.0\ntf32", "\"fast\"\ntf32"), &["mine.toml:6"]);
    assert_refused(
        &PAPER.replace("100.0", "-1.0"),
        &["mine.toml:", "bandwidth must be a number from 0.1 to 1000000, not -1.0"],
    );
    assert_refused(&PAPER.replace("100.0", "nan"), &["bandwidth must be", "not nan"]);
    assert_refused(&PAPER.replace("\"paper\"", "\"all\""), &["`all`"]);
    assert_refused(&format!("{PAPER}{PAPER}"), &["mine.toml:13", "two GPUs are named `paper`"]);
    assert_refused("gpu = []\n", &["no [[gpu]]"]);
    assert_refused("", &["mine.toml:1", "missing `gpu`"]);
    assert_refused("[[gpu]\n", &["mine.toml:1"]);
}

#[test]
fn unknown_names_and_missing_precisions_say_what_there_is() {
    let gpus = Gpu::built_in();
    let message = Gpu::find(&gpus, "A100").unwrap_err().to_string();
    assert!(
        message.contains("(did you mean a100-sxm or a100-sxm-80gb or a100-pcie or a100-pcie-80gb?)")
            && message.contains("h100-sxm"),
        "{message}"
    );
    let message = Gpu::find(&gpus, "tpu").unwrap_err().to_string();
    assert!(message.contains("`tpu`: give one of titan-x-maxwell, "), "{message}");
    let message = Gpu::find(&gpus, "t4").unwrap().ceilings(Precision::Bf16).unwrap_err().to_string();
    assert_eq!(message, "T4 has no bf16: it has f32, f16");
}
