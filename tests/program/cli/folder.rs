//! A real run's files against the contract.

use std::collections::{BTreeMap, HashSet};

use crate::program::{Program, QUICK, Record, number, records, stdout};

pub const PHASES: &str = "run_id,model,device,precision,layout,launch,batch,image,layer_index,layer,kind,group,phase,status,samples,\
    median_us,ci95_low_us,ci95_high_us,mean_us,stddev_us,min_us,q1_us,q3_us,max_us,\
    share_pct,share_ci95_low_pct,share_ci95_high_pct,\
    flops,bytes,gflops_per_s,gbytes_per_s,bound,roof_pct,algorithm,workspace_bytes,parameters,\
    sm_clock_mhz,mem_clock_mhz,temperature_c,throttled_samples,power_capped_samples,ranks,rank_spread_pct";

pub const SUMMARY: &str = "run_id,model,device,precision,layout,launch,batch,image,group,phase,status,samples,mean_us,median_us,\
    ci95_low_us,ci95_high_us,share_pct,share_ci95_low_pct,share_ci95_high_pct,closure,mark_us,plain_step_us,wall_step_us,\
    images_per_s,planned_bytes,measured_bytes,\
    grouped_us,grouped_share_pct,grouped_share_ci95_low_pct,grouped_share_ci95_high_pct,grouped_closure";

fn sum(rows: &[&Record], column: &str) -> f64 {
    rows.iter().map(|row| number(row, column)).sum()
}

fn assert_close(got: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((got - wanted).abs() <= tolerance, "{what}: {got} is not {wanted} ± {tolerance}");
}

/// Layers' rows add up to groups', groups' to the step's.
fn assert_adds_up(layers: &[&Record], summary: &[&Record]) {
    assert_close(sum(layers, "share_pct"), 100.0, 0.01, "shares of layers");
    let step = summary.iter().find(|row| row["group"] == "all" && row["phase"] == "all").unwrap();
    let step_us = number(step, "mean_us");
    assert_close(sum(layers, "mean_us"), step_us, 1e-6 * step_us, "layers in the step");
    let totals: Vec<&Record> =
        summary.iter().copied().filter(|row| row["phase"] == "all" && row["group"] != "all").collect();
    assert_close(sum(&totals, "mean_us"), step_us, 1e-6 * step_us, "groups in the step");
    assert_close(sum(&totals, "share_pct"), 100.0, 0.01, "shares of groups");
    for total in summary {
        let within = |row: &&&Record| {
            ["group", "phase"].iter().all(|&column| total[column] == "all" || row[column] == total[column])
        };
        let parts: Vec<&Record> = layers.iter().filter(within).copied().collect();
        let mean = number(total, "mean_us");
        assert_close(sum(&parts, "mean_us"), mean, 1e-6 * step_us, &format!("{} {}", total["group"], total["phase"]));
    }
    assert!(number(step, "closure") > 0.5 && number(step, "closure") < 2.0);
    for column in ["mark_us", "plain_step_us", "wall_step_us", "images_per_s", "planned_bytes"] {
        assert!(number(step, column) >= 0.0, "{column}");
    }
}

#[test]
fn columns_units_and_sums() {
    let program = Program::new();
    let output = program.output(&format!("{QUICK} --batch 2,8 --samples"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let folder = program.run_folder();
    let header = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(header("phases.csv"), PHASES);
    assert_eq!(header("summary.csv"), SUMMARY);

    let (phases, summary) = (records(&folder.join("phases.csv")), records(&folder.join("summary.csv")));
    for row in phases.iter().chain(&summary) {
        assert!(row.values().all(|field| !["nan", "inf"].contains(&field.to_lowercase().as_str())), "{row:?}");
        assert_eq!(
            (row["layout"].as_str(), row["launch"].as_str(), row["precision"].as_str()),
            ("nhwc", "direct", "f32")
        );
    }
    for row in &phases {
        assert!(number(row, "min_us") > 0.0 && number(row, "samples") >= 6.0, "{row:?}");
        let ordered = ["min_us", "q1_us", "median_us", "q3_us", "max_us"].map(|column| number(row, column));
        assert!(ordered.is_sorted(), "{row:?}");
        assert!(number(row, "ci95_low_us") <= ordered[2] && ordered[2] <= number(row, "ci95_high_us"), "{row:?}");
        assert!(["compute", "memory", "latency", "cache"].contains(&row["bound"].as_str()), "{row:?}");
        assert_eq!(row["sm_clock_mhz"], "", "the CPU does not tell");
    }
    for batch in ["2", "8"] {
        let of = |rows: &'_ [Record]| rows.iter().filter(|row| row["batch"] == batch).cloned().collect::<Vec<_>>();
        let (layers, totals) = (of(&phases), of(&summary));
        assert_adds_up(&layers.iter().collect::<Vec<_>>(), &totals.iter().collect::<Vec<_>>());
    }
    assert!(stdout(&output).contains("of the training step at batch "), "{}", stdout(&output));
}

/// Which rows exist: no backward_data for the first layer, weights' phases for conv, fc and batchnorm alone, no flatten.
#[test]
fn rows_are_those_of_real_training() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1")).status.success());
    let mut found: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for row in records(&program.run_folder().join("phases.csv")) {
        found.entry(row["layer"].clone()).or_default().insert(row["phase"].clone());
    }
    let set = |phases: &[&str]| phases.iter().map(|&phase| phase.to_owned()).collect::<HashSet<_>>();
    assert_eq!(found["conv1"], set(&["forward", "backward_weights", "weight_update"]));
    assert_eq!(found["conv2"], set(&["forward", "backward_data", "backward_weights", "weight_update"]));
    assert_eq!(found["bn1"], found["conv2"]);
    assert_eq!(found["relu1"], set(&["forward", "backward_data"]));
    assert_eq!(found["loss"], set(&["forward", "backward_data"]));
    assert!(!found.contains_key("flatten5"));
}

#[test]
fn samples_are_the_steps_behind_the_statistics() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1")).status.success());
    let folder = program.run_folder();
    let samples = records(&folder.join("samples.csv"));
    for row in records(&folder.join("phases.csv")) {
        let durations: Vec<f64> = samples
            .iter()
            .filter(|sample| sample["layer"] == row["layer"] && sample["phase"] == row["phase"])
            .map(|sample| number(sample, "duration_us"))
            .collect();
        assert_eq!(durations.len() as f64, number(&row, "samples"));
        let mean = durations.iter().sum::<f64>() / durations.len() as f64;
        // The CSV has six decimals.
        assert_close(mean, number(&row, "mean_us"), 1e-6, &row["layer"]);
    }
}

/// The target of 100 % is reached by ten samples, but a million are asked for.
#[test]
fn fewer_samples_than_asked_for_are_noisy() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1 --min-samples 1000000")).status.success());
    for row in records(&program.run_folder().join("summary.csv")) {
        assert_eq!(row["status"], "noisy");
    }
}

#[test]
fn samples_can_be_left_out() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1 --no-samples --warm-up 0s")).status.success());
    let folder = program.run_folder();
    assert!(!folder.join("samples.csv").exists());
    let run = std::fs::read_to_string(folder.join("run.json")).unwrap();
    assert!(run.contains("\"samples\": false") && run.contains("\"warm_up_s\": 0.0"), "{run}");
    // It goes on without them; asked for, they are missed.
    let resumed = program.output(&format!("run --batch 1,2 --resume {}", folder.display()));
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(!folder.join("samples.csv").exists());
    let refused = program.output(&format!("run --samples --resume {}", folder.display()));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let both = program.output(&format!("{QUICK} --samples --no-samples"));
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

/// A run of 0.1.0 without `--samples` has no word of them, and goes on without.
#[test]
fn an_old_run_without_samples_goes_on() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1 --no-samples")).status.success());
    let file = program.run_folder().join("run.json");
    let run = std::fs::read_to_string(&file).unwrap();
    let old = run.replace("    \"--no-samples\",\n", "").replace(",\n    \"--no-samples\"\n", "\n");
    assert_ne!(old, run);
    std::fs::write(&file, old).unwrap();
    let resumed = program.output(&format!("run --batch 1,2 --resume {}", program.run_folder().display()));
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(!program.run_folder().join("samples.csv").exists());
}
