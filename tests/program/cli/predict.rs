//! `predict`: its tables, its files, and that nothing of it passes for a measurement.

use std::path::{Path, PathBuf};

use super::folder::{PHASES, SUMMARY};
use crate::program::{Program, Record, assert_refused, number, records, stdout};

const MINE: &str =
    "[[gpu]]\nname = \"mine\"\ntitle = \"My GPU\"\nf32 = 10.0\nbandwidth = 500.0\nmemory = 8.0\nsms = 20\n";

/// The one folder that a prediction for one GPU leaves.
fn predicted(program: &Program, arguments: &str) -> PathBuf {
    let output = program.output(&format!("predict {arguments} --out results"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    program.run_folder()
}

fn sum(rows: &[&Record], column: &str) -> f64 {
    rows.iter().map(|row| number(row, column)).sum()
}

fn steps(folder: &Path) -> Vec<Record> {
    let rows = records(&folder.join("summary.csv"));
    rows.into_iter().filter(|row| row["group"] == "all" && row["phase"] == "all").collect()
}

#[test]
fn rows_say_that_they_are_predicted_and_add_up() {
    let program = Program::new();
    let folder = predicted(&program, "--gpu v100-sxm2 --model tiny --batch 8,2");
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("-tiny-predicted-V100-SXM2-16-GB-f32"), "{name}");
    let header = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap().lines().next().unwrap().to_owned();
    assert_eq!((header("phases.csv").as_str(), header("summary.csv").as_str()), (PHASES, SUMMARY));

    let (phases, summary) = (records(&folder.join("phases.csv")), records(&folder.join("summary.csv")));
    let unmeasured = "samples,stddev_us,min_us,q1_us,q3_us,max_us,algorithm,workspace_bytes,sm_clock_mhz,mem_clock_mhz,temperature_c,throttled_samples,power_capped_samples,grouped_us,grouped_share_pct,grouped_closure,\
        closure,mark_us,plain_step_us,wall_step_us,measured_bytes,layout,launch";
    for row in phases.iter().chain(&summary) {
        assert_eq!((row["device"].as_str(), row["status"].as_str()), ("predicted: V100 SXM2 16 GB", "predicted"));
        assert!(number(row, "mean_us") > 0.0 && row["mean_us"] == row["median_us"]);
        let holds = |low: &str, figure: &str, high: &str| {
            number(row, low) <= number(row, figure) && number(row, figure) <= number(row, high)
        };
        assert!(holds("ci95_low_us", "mean_us", "ci95_high_us"), "{row:?}");
        assert!(holds("share_ci95_low_pct", "share_pct", "share_ci95_high_pct"), "{row:?}");
        assert!(number(row, "ci95_low_us") > 0.0 && number(row, "share_ci95_high_pct") <= 100.0);
        for column in unmeasured.split(',') {
            assert!(row.get(column).is_none_or(String::is_empty), "{column} in {row:?}");
        }
    }
    for batch in ["2", "8"] {
        let layers: Vec<&Record> = phases.iter().filter(|row| row["batch"] == batch).collect();
        let step = summary.iter().find(|row| row["batch"] == batch && row["group"] == "all" && row["phase"] == "all");
        let step = step.unwrap();
        assert!((sum(&layers, "share_pct") - 100.0).abs() < 0.01);
        assert!((sum(&layers, "mean_us") - number(step, "mean_us")).abs() < 0.001);
        let rate = batch.parse::<f64>().unwrap() / number(step, "mean_us") * 1e6;
        assert!((number(step, "images_per_s") / rate - 1.0).abs() < 1e-6);
        for total in summary.iter().filter(|row| row["batch"] == batch) {
            let within = |row: &&&Record| {
                ["group", "phase"].iter().all(|&column| total[column] == "all" || row[column] == total[column])
            };
            let parts: Vec<&Record> = layers.iter().filter(within).copied().collect();
            assert!((sum(&parts, "mean_us") - number(total, "mean_us")).abs() < 0.001, "{total:?}");
        }
    }
    let run: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["setup"]["device"], "predicted: V100 SXM2 16 GB");
    assert_eq!((run["state"].as_str(), run["measuring"].is_null()), (Some("complete"), true));
    assert_eq!(run["points"][0]["status"], "predicted");
    assert_eq!(run["ceilings"]["gemm_flops_per_s"].as_f64(), Some(15.7e12));
    assert!(run["machine"]["notes"][0].as_str().unwrap().contains("Nothing here was measured"));
}

#[test]
fn measured_batches_cannot_join_a_prediction() {
    let program = Program::new();
    let folder = predicted(&program, "--gpu t4 --model tiny --batch 2");
    let before = std::fs::read_to_string(folder.join("summary.csv")).unwrap();
    for options in ["", " --model tiny --device cpu --batch 1 --max-time 1s"] {
        let output = program.output(&format!("run --resume {}{options}", folder.display()));
        assert_refused(&output, 1, &["cannot resume"]);
    }
    assert_eq!(std::fs::read_to_string(folder.join("summary.csv")).unwrap(), before);
}

#[test]
fn one_gpu_prints_tables_and_the_verdict() {
    let program = Program::new();
    let output = program.output("predict --gpu a100-sxm");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text.starts_with("alexnet, predicted for A100 SXM 40 GB, f32, search; nothing here was measured\n"),
        "{text}"
    );
    let verdict = text.lines().last().unwrap();
    assert!(
        verdict.contains("of the predicted training step at batch 512") && verdict.contains("fc leads below batch ≈")
    );
    // Beside the verdict, which a terminal would wrap.
    let mut tables = text.lines().filter(|line| *line != verdict);
    assert!(text.contains("fc8 ") && tables.all(|line| line.chars().count() <= 100), "{text}");
    assert!(!program.folder.path().join("results").exists(), "saved only when asked");
}

#[test]
fn several_gpus_are_one_table() {
    let program = Program::new();
    for arguments in ["predict", "predict --gpu all"] {
        let text = stdout(&program.output(arguments));
        for title in ["GTX Titan X (Maxwell)", "P100 SXM2", "T4", "A100 SXM 80 GB", "RTX 3090", "L40S", "H200 SXM"] {
            assert!(text.lines().any(|line| line.starts_with(title)), "{title}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    let text = stdout(&program.output("predict --precision bf16 --gpu all --image 160,224"));
    assert!(text.contains("image 160x160") && text.contains("image 224x224"), "{text}");
    assert!(text.contains("Left out, without bf16: GTX Titan X (Maxwell), P100 SXM2, V100"), "{text}");
    let output = program.output("predict --gpu T4,h100_sxm --model tiny --batch 4 --out there");
    assert_eq!(stdout(&output).matches("saved in there/").count(), 2, "{output:?}");
}

#[test]
fn the_page_on_gpus_shows_what_is_printed() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gpu.md")).unwrap();
    let text = stdout(&Program::new().output("predict"));
    assert!(page.contains(text.trim_end()), "docs/gpu.md lacks:\n{text}");
}

#[test]
fn what_does_not_fit_has_no_time() {
    let program = Program::new();
    let folder = predicted(&program, "--gpu t4 --model vgg19 --batch 8,512");
    let steps = steps(&folder);
    assert!(number(&steps[0], "mean_us") > 0.0 && number(&steps[0], "planned_bytes") < 16e9);
    assert!(number(&steps[1], "planned_bytes") > 16e9);
    let empty = ["mean_us", "share_pct", "images_per_s"];
    assert!(empty.iter().all(|&column| steps[1][column].is_empty()) && steps[1]["status"] == "predicted");
    let run: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["points"][0]["notes"].as_array().map(Vec::len), Some(0));
    assert_eq!(run["points"][1]["notes"][0], "does not fit in the GPU's memory");
    let output = program.output("predict --gpu t4 --model vgg19 --batch 8,512");
    assert!(stdout(&output).contains("training step at batch 8"), "{output:?}");
    let output = program.output("predict --gpu t4,l4 --model vgg19 --batch 2048");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no batch fits in memory"), "{output:?}");
}

#[test]
fn phases_that_count() {
    let program = Program::new();
    let folder = predicted(
        &program,
        "--gpu titan-x-maxwell --batch 128 --input-gradient --phases forward,backward_data,backward-weights --algorithms heuristic",
    );
    let rows = records(&folder.join("phases.csv"));
    assert!(rows.iter().all(|row| row["phase"] != "weight_update"));
    let first = rows.iter().filter(|row| row["layer"] == "conv1").map(|row| row["phase"].as_str());
    assert_eq!(first.collect::<Vec<_>>(), ["forward", "backward_data", "backward_weights"]);
    let once = stdout(&program.output("predict --gpu t4 --phases forward,forward"));
    assert!(once.contains("search, forward only;"), "{once}");
    let scale = program.output("predict --gpu t4 --precision f16 --phases loss-scale");
    assert!(stdout(&scale).contains("neither conv nor fc"), "{scale:?}");
}

/// `run`'s arithmetics, a framework in place of layertime, and an order of elements.
#[test]
fn what_users_choose() {
    let program = Program::new();
    let text =
        |options: &str| stdout(&program.output(&format!("predict --gpu a100-sxm --model tiny --batch 8{options}")));
    let mixed = text(" --precision tf32 --fc-precision f32");
    assert!(mixed.starts_with("tiny, predicted for A100 SXM 40 GB, tf32+f32, search"), "{mixed}");
    let other = text(" --precision f32 --fc-precision tf32");
    assert!(other.starts_with("tiny, predicted for A100 SXM 40 GB, f32+tf32"), "{other}");
    let output = program.output("predict --gpu a100-sxm --precision f16 --fc-precision tf32");
    assert_refused(&output, 2, &["--fc-precision tf32 goes with f32 and tf32"]);
    let output = program.output("predict --gpu v100-sxm2 --precision f32 --fc-precision tf32");
    assert_refused(&output, 2, &["V100 SXM2 16 GB has no f32+tf32"]);
    let framework = text(" --program tensorflow");
    assert!(framework.contains("f32, search, as tensorflow;"), "{framework}");
    assert!(text(" --precision f16 --layout nchw") != text(" --precision f16"));
    let output = program.output("predict --gpu a100-sxm --program theano");
    assert_refused(&output, 2, &["theano", "tensorflow"]);
}

/// A prediction up to some batch, as it stands in run.json, in its text and on its page.
fn told(largest: u64) -> (serde_json::Value, [String; 2]) {
    let program = Program::new();
    let options = format!("--gpu v100-sxm2 --batch 1,{largest}");
    let folder = predicted(&program, &options);
    let run = std::fs::read_to_string(folder.join("run.json")).unwrap();
    let text = stdout(&program.output(&format!("predict {options}")));
    assert_eq!(program.output(&format!("plot {} --html", folder.display())).status.code(), Some(0));
    let page = std::fs::read_to_string(folder.join("plots/report.html")).unwrap();
    (serde_json::from_str::<serde_json::Value>(&run).unwrap()["answers"][0].clone(), [text, page])
}

/// At the crossover, where both shares are alike, nobody can tell who leads: run.json names the rival, and text and page have the
/// sentence. At batch 512 conv leads for sure, and none of them says so.
#[test]
fn the_verdict_says_what_it_cannot_tell() {
    let program = Program::new();
    let folder = predicted(&program, "--gpu v100-sxm2 --batch 1,2,4,8,16,32,64,128,256,512");
    let run: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap();
    let crossover = &run["crossovers"][0];
    let batch = crossover["batch"].as_f64().unwrap();
    let ends = [0, 1].map(|end| crossover["batch_ci95"][end].as_f64());
    assert!(ends[0].is_none_or(|low| low < batch) && ends[1].is_none_or(|high| high > batch), "{crossover}");

    let (answer, texts) = told(batch.round() as u64);
    let [leader, rival] = ["leader", "rival"].map(|key| answer[key].as_str().unwrap_or_else(|| panic!("{answer}")));
    assert!(["conv", "fc"].contains(&leader) && ["conv", "fc"].contains(&rival) && leader != rival, "{answer}");
    let sentence = format!("The prediction cannot tell whether {leader} or {rival} leads at this batch.");
    assert!(texts.iter().all(|text| text.matches(&sentence).count() == 1), "{sentence}");

    let (answer, texts) = told(512);
    assert!(answer["leader"] == "conv" && answer["rival"].is_null(), "{answer}");
    assert!(!texts.iter().any(|text| text.contains("cannot tell")));
}

#[test]
fn ones_own_gpu() {
    let program = Program::new();
    program.model("mine.toml", MINE);
    let own = stdout(&program.output("predict --gpu-file mine.toml --model tiny --batch 4"));
    assert!(own.starts_with("tiny, predicted for My GPU, f32"), "{own}");
    let both = stdout(&program.output("predict --gpu-file mine.toml --gpu mine,t4 --model tiny --batch 4"));
    assert!(both.contains("\nMy GPU ") && both.contains("\nT4 "), "{both}");
    // A GPU of a known name takes its place.
    program.model("mine.toml", &MINE.replace("\"mine\"", "\"T4\""));
    let own = stdout(&program.output("predict --gpu-file mine.toml --gpu t4 --model tiny --batch 4"));
    assert!(own.starts_with("tiny, predicted for My GPU, f32"), "{own}");
}

#[test]
fn bad_input() {
    let program = Program::new();
    let refuse = |arguments: &str, words: &[&str]| assert_refused(&program.output(arguments), 2, words);
    refuse(
        "predict --gpu a100",
        &["`a100`", "did you mean a100-sxm or a100-sxm-80gb or a100-pcie or a100-pcie-80gb?", "h100-sxm", "--gpu-file"],
    );
    refuse("predict --gpu tpu", &["`tpu`", "v100-sxm2", "all"]);
    refuse("predict --gpu t4 --precision bf16", &["T4 has no bf16", "f32, f16"]);
    refuse("predict --gpu t4 --precision f8", &["f8", "tf32"]);
    refuse("predict --batch 0", &["--batch", "from 1 to"]);
    refuse("predict --model no-such-net", &["no-such-net", "alexnet"]);
    refuse("predict --image 32", &["too small", "the least that fits is 63"]);
    refuse("predict --phases update", &["--phases", "weight_update"]);
    refuse(
        "predict --gpu t4 --phases forward,loss_scale",
        &["no layer has the phase loss_scale at f32", "forward, backward_data, backward_weights, weight_update"],
    );
    refuse("predict --gpu-file nowhere.toml", &["nowhere.toml"]);
    program.model("mine.toml", &format!("{MINE}cores = 5\n"));
    refuse("predict --gpu-file mine.toml", &["mine.toml:8", "unknown key `cores`"]);
    program.model("mine.toml", &MINE.replace("500.0", "0.0"));
    refuse("predict --gpu-file mine.toml", &["mine.toml:5: bandwidth must be a number from 0.1 to 1000000, not 0.0"]);
    for (key, good) in [("f32", "10.0"), ("bandwidth", "500.0"), ("memory", "8.0"), ("sms", "20")] {
        for bad in ["1e-300", "1e300", "nan", "inf", "-1", "0"] {
            program.model("mine.toml", &MINE.replace(&format!("{key} = {good}"), &format!("{key} = {bad}")));
            let words = format!("not {bad}");
            refuse("predict --gpu-file mine.toml", &["mine.toml:", key, "number from", &words]);
        }
    }
    program.model("mine.toml", &format!("{MINE}l2_mb = -1.0\n"));
    refuse("predict --gpu-file mine.toml", &["mine.toml:8: l2_mb must be a number from 0.001 to 1000000, not -1.0"]);
    program.model("mine.toml", &MINE.replace("sms = 20\n", ""));
    refuse("predict --gpu-file mine.toml", &["mine.toml:1", "missing `sms`"]);
    program.model("mine.toml", MINE);
    refuse("predict --gpu-file mine.toml --precision tf32", &["My GPU has no tf32: it has f32"]);
}
