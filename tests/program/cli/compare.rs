//! `compare` on real runs, on concatenated files, on a million rows and on what is no run.

use std::io::Write;
use std::path::PathBuf;

use crate::program::{Program, QUICK, assert_refused, runs_in, stderr, stdout};

/// Real runs of the smallest network, in the order in which they were made.
fn runs(program: &Program, count: usize) -> Vec<PathBuf> {
    for _ in 0..count {
        assert!(program.output(&format!("{QUICK} --batch 1,4")).status.success());
    }
    let results = program.folder.path().join("results");
    let mut runs: Vec<PathBuf> = runs_in(&results);
    runs.sort();
    runs
}

#[test]
fn real_runs() {
    let program = Program::new();
    let runs = runs(&program, 4);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| runs[index].display().to_string());
    let two = program.output(&format!("compare {a} {b}"));
    assert_eq!(two.status.code(), Some(0), "{two:?}");
    let text = stdout(&two);
    assert!(text.contains("no comparison of times") && text.contains("One run each"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let four = program.output(&format!("compare {a} {b} --with {c} {d} --clocks-fixed --csv=out.csv"));
    assert!(!stdout(&four).contains("One run") && stdout(&four).contains("FASTER or SLOWER"), "{four:?}");
    let csv = std::fs::read_to_string(program.folder.path().join("out.csv")).unwrap();
    assert!(csv.lines().skip(1).all(|line| line.contains(",times,")), "{csv}");
    let piped = program.output(&format!("compare {a} {b} --batch 4 --csv"));
    assert!(stdout(&piped).starts_with("batch,image,layer") && stdout(&piped).contains("\n4,16x16,all,conv,all,"));

    // A run is never taken for the file to write.
    let piped = program.output(&format!("compare --csv {a} {b}"));
    assert!(stdout(&piped).starts_with("batch,image,layer"), "{piped:?}");

    // Copies with headers repeated, and without.
    let texts = [&a, &b].map(|run| std::fs::read_to_string(PathBuf::from(run).join("phases.csv")).unwrap());
    let body = texts[1].split_once('\n').unwrap().1;
    for (name, text) in [("twice.csv", texts.concat()), ("once.csv", format!("{}{body}", texts[0]))] {
        std::fs::write(program.folder.path().join(name), text).unwrap();
        let output = program.output(&format!("compare {name} --with {c} {d}"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).contains("A has no run.json") && !stdout(&output).contains("One run"));
    }
    assert_refused(
        &program.output(&format!("compare {a} {b} --fail-on slower:5%")),
        2,
        &["--fail-on", "--clocks-fixed"],
    );
    assert_refused(&program.output(&format!("compare {a}")), 2, &["--with"]);
    assert_refused(&program.output(&format!("compare {a} {a} --with {b}")), 1, &["A has the run", "twice"]);
    assert_refused(&program.output(&format!("compare {a} {b} --batch 7")), 1, &["batch 7 is not in both"]);
}

/// Phases of one layer each in forward, `us` long with a standard deviation of 1 %.
fn literal(run_id: &str, precision: &str, layers: usize, us: impl Fn(usize) -> f64) -> String {
    let total: f64 = (0..layers).map(&us).sum();
    let row = |layer: usize| {
        let (us, share) = (us(layer), 100.0 * us(layer) / total);
        format!(
            "{run_id},m,d,{precision},nchw,queued,8,4x4,{layer},l{layer},conv,conv,forward,ok,10,\
             {us},{},{},{us},{},{us},{us},{us},{us},{share},{},{},100,100,,,,,,,0,,,,\n",
            0.99 * us,
            1.01 * us,
            0.01 * us,
            0.99 * share,
            1.01 * share,
        )
    };
    (0..layers).map(row).collect()
}

const HEADER: &str = "run_id,model,device,precision,layout,launch,batch,image,layer_index,layer,kind,group,phase,status,samples,\
    median_us,ci95_low_us,ci95_high_us,mean_us,stddev_us,min_us,q1_us,q3_us,max_us,\
    share_pct,share_ci95_low_pct,share_ci95_high_pct,\
    flops,bytes,gflops_per_s,gbytes_per_s,bound,roof_pct,algorithm,workspace_bytes,parameters,\
    sm_clock_mhz,mem_clock_mhz,temperature_c,throttled_samples\n";

#[test]
fn a_slower_layer_fails_where_asked_to() {
    let program = Program::new();
    let write =
        |name: &str, text: String| std::fs::write(program.folder.path().join(name), HEADER.to_owned() + &text).unwrap();
    write("a.csv", literal("a", "f32", 4, |_| 100.0));
    write("b.csv", literal("b", "tf32", 4, |layer| if layer == 2 { 120.0 } else { 100.0 }));
    let output = program.output("compare a.csv b.csv --clocks-fixed --fail-on slower:5%");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("precision f32 | tf32"), "{output:?}");
    let slower: Vec<String> =
        stdout(&output).lines().filter(|line| line.ends_with("SLOWER")).map(String::from).collect();
    assert!(slower.len() == 1 && slower[0].starts_with("l2 ") && slower[0].contains("1.200 ±"), "{slower:?}");
    assert_eq!(stderr(&output).trim(), "1 row is slower than --fail-on allows");
    let within = program.output("compare a.csv b.csv --clocks-fixed --fail-on slower:25%");
    assert_eq!(within.status.code(), Some(0), "{within:?}");

    write("mixed.csv", literal("a", "f32", 4, |_| 100.0) + &literal("b", "f16", 4, |_| 100.0));
    assert_refused(&program.output("compare a.csv mixed.csv"), 1, &["B mixes precisions, f32 and f16"]);
    let torn = literal("a", "f32", 4, |_| 100.0) + &literal("t", "f32", 4, |_| 100.0)[..300];
    write("torn.csv", torn);
    let output = program.output("compare torn.csv b.csv");
    assert!(output.status.success() && stderr(&output).contains("torn row on line"), "{output:?}");
    std::fs::write(program.folder.path().join("short.csv"), HEADER.replace("share_pct,", "")).unwrap();
    assert_refused(&program.output("compare a.csv short.csv"), 1, &["short.csv", "lacks share_pct"]);
    std::fs::write(program.folder.path().join("header.csv"), HEADER).unwrap();
    assert_refused(&program.output("compare a.csv header.csv"), 1, &["header.csv", "no rows"]);
}

/// 20 runs of 50,000 rows each.
#[test]
fn a_million_rows() {
    let program = Program::new();
    let mut file = std::io::BufWriter::new(std::fs::File::create(program.folder.path().join("large.csv")).unwrap());
    file.write_all(HEADER.as_bytes()).unwrap();
    for run in 0..20 {
        file.write_all(literal(&format!("r{run}"), "f32", 50_000, |_| 100.0 + f64::from(run)).as_bytes()).unwrap();
    }
    drop(file);
    // A gigabyte of address space for both sides, two million rows.
    let limited = format!(
        "ulimit -v 1000000; exec {} compare large.csv large.csv --min-share 50%",
        env!("CARGO_BIN_EXE_layertime")
    );
    let output =
        std::process::Command::new("bash").args(["-c", &limited]).current_dir(program.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("50000 rows below 50 %"), "{}", stdout(&output));
}
