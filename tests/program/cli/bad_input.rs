//! Bad input gives one clear line that says what to do, and exit code 2, or 1 where the machine is at fault.

use crate::program::{Program, QUICK, assert_refused, number, records};

const HEAD: &str = "name = \"mine\"\ninput = [3, 8, 8]\n";
const TAIL: &str =
    "[[layer]]\nname = \"out\"\nkind = \"fc\"\noutputs = 4\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n";

#[track_caller]
fn refuse(arguments: &str, code: i32, words: &[&str]) {
    assert_refused(&Program::new().output(arguments), code, words);
}

/// A description with these layers before an fc and the loss must be refused with these words.
#[track_caller]
fn refuse_model(layers: &str, words: &[&str]) {
    let program = Program::new();
    program.model("mine.toml", &format!("{HEAD}{layers}{TAIL}"));
    for command in ["run --model mine.toml --device cpu --batch 1", "inspect mine.toml", "verify --model mine.toml"] {
        assert_refused(&program.output(command), 2, words);
    }
    assert!(!program.folder.path().join("results").exists(), "a refused run must leave no folder");
}

#[test]
fn unknown_names() {
    refuse("run --model no-such-net", 2, &["no-such-net", "alexnet-2012", ".toml"]);
    refuse("run --model nowhere.toml", 2, &["nowhere.toml: No such file"]);
    let twice = Program::new().output("run --model nowhere.toml");
    assert_eq!(String::from_utf8_lossy(&twice.stderr).matches("No such file").count(), 1, "{twice:?}");
    refuse("inspect no-such-net", 2, &["no-such-net", "vgg16"]);
    refuse("run --device tpu", 2, &["tpu", "cuda:N"]);
    refuse("run --device cpu --precision bf16", 2, &["bf16", "f32 alone"]);
    refuse("run --device cpu --layout nchw", 2, &["nchw", "nhwc"]);
    refuse("run --device cuda --algorithms direct", 2, &["direct", "--device cpu"]);
    refuse("run --precision f8", 2, &["f8", "tf32"]);
    for option in ["--workspace-limit 1MiB", "--deterministic", "--algorithms heuristic"] {
        let name = option.split(' ').next().unwrap();
        refuse(&format!("run --device cpu {option}"), 2, &["the CPU has no convolution algorithms", name]);
    }
}

#[test]
fn values_out_of_range() {
    refuse("run --batch 0", 2, &["--batch", "from 1 to"]);
    refuse("run --batch 1099511627776", 2, &["--batch", "from 1 to"]);
    refuse("run --batch 8,x", 2, &["--batch", "'x'"]);
    refuse("run --target 0%", 2, &["--target", "percentage"]);
    refuse("run --max-time 15", 2, &["--max-time", "15s"]);
    refuse("run --threads 0", 2, &["--threads"]);
    refuse("run --image 0", 2, &["--image", "224"]);
    refuse("run --learning-rate=-1", 2, &["--learning-rate"]);
    refuse("run --learning-rate 1e300", 2, &["--learning-rate", "from 0 to 1000000"]);
    refuse("run --threads 1000000", 2, &["--threads", "from 1 to 4096"]);
    let processors = std::thread::available_parallelism().unwrap().get();
    refuse(&format!("run --threads {}", processors + 1), 2, &["--threads", &format!("up to {processors}")]);
    refuse(&format!("run --device cpu --threads {}", 100 * processors), 2, &["--threads"]);
    let most = format!("up to {}", 8 * processors);
    refuse(&format!("verify --device cpu --threads {}", 8 * processors + 1), 2, &["--threads", &most]);
    for command in ["inspect alexnet --batch 1,2", "plot . --batch 1,2"] {
        let output = Program::new().output(command);
        assert_refused(&output, 2, &["--batch", "such as 32"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("a list"), "{output:?}");
    }
}

#[test]
fn an_image_that_is_too_small_names_the_least() {
    refuse("run --model alexnet --device cpu --image 32", 2, &["32x32", "too small", "the least that fits is 63"]);
    refuse("inspect vgg16 --image 16", 2, &["too small", "the least that fits is 32"]);
}

#[test]
fn descriptions_are_refused_with_file_and_line() {
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"convolution\"\n",
        &["mine.toml:5", "unknown kind `convolution`", "conv"],
    );
    refuse_model("[[layer]]\nname = \"a\"\nkind = \"relu\"\nslope = 2\n", &["mine.toml:6", "slope"]);
    refuse_model("[[layer]]\nname = \"a\"\nkind = \"conv\"\nkernel = 3\n", &["mine.toml:3", "channels"]);
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"conv\"\nchannels = 4\nkernel = \"3\"\n",
        &["mine.toml:7", "[height, width]"],
    );
    refuse_model("[[layer]]\nname = \"a\"\nkind = \"conv\"\nchannels = -4\nkernel = 3\n", &["mine.toml:6"]);
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"relu\"\n[[layer]]\nname = \"a\"\nkind = \"relu\"\n",
        &["mine.toml:7", "two layers are named `a`"],
    );
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"relu\"\ninputs = [\"b\"]\n",
        &["mine.toml:6", "no layer has that name"],
    );
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"relu\"\ninputs = [\"b\"]\n[[layer]]\nname = \"b\"\nkind = \"relu\"\ninputs = [\"a\"]\n",
        &["mine.toml:6", "cycle"],
    );
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"conv\"\nchannels = 4\nkernel = 9\n",
        &["mine.toml:3: layer `a`", "9x9", "8x8"],
    );
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"conv\"\nchannels = 4\nkernel = 3\ngroups = 3\n",
        &["mine.toml:3", "4 channels do not divide into 3 groups"],
    );
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"dropout\"\np = 1.0\n",
        &["mine.toml:6: p must be a number from 0 to below 1, not 1.0"],
    );
    refuse_model("[[layer]\nname = 3", &["mine.toml:3"]);
    let two = "[layer]\nname = \"a\"\nkind = \"relu\"\n[layer]\nname = \"b\"\nkind = \"relu\"\n";
    refuse_model(two, &["mine.toml:", "two brackets: [[layer]]"]);
    for bad in ["99999999999999999999", "-4", "1.5", "\"3\""] {
        let layer = format!("[[layer]]\nname = \"a\"\nkind = \"conv\"\nchannels = {bad}\nkernel = 3\n");
        refuse_model(&layer, &["mine.toml:6", "whole number"]);
    }
}

#[test]
fn keys_of_a_kind_that_do_not_fit_each_other() {
    for (kind, keys, message) in [
        (
            "conv_transpose",
            "channels = 4\nkernel = 3\nstride = 2\noutput_padding = [0, 2]",
            "less than stride or dilation",
        ),
        (
            "conv_transpose",
            "channels = 4\nkernel = 3\ndilation = [9, 2]\noutput_padding = 2",
            "less than stride or dilation",
        ),
        ("conv_transpose", "channels = 4\nkernel = 3\npad = \"same\"", "must be numbers, not \"same\""),
        ("conv_transpose", "channels = 4\nkernel = 3\npad = 9", "pad 9 leaves nothing of the output of 3x8x8"),
        ("conv_transpose", "channels = 4\nkernel = 3\ngroups = 2", "3 input channels do not divide into 2 groups"),
        ("pad_channels", "", "before or after must be above 0"),
        ("maxpool", "kernel = 2\npad = 1\ndilation = 9", "its dilation steps over it"),
        ("maxpool", "kernel = 3\ndilation = 5", "window 11x11 is larger than its input 8x8"),
    ] {
        refuse_model(&format!("[[layer]]\nname = \"a\"\nkind = \"{kind}\"\n{keys}\n"), &["mine.toml:3", message]);
    }
}

/// Its positions are not its output.
#[test]
fn a_pool_that_only_an_unpooling_names_is_unread() {
    let pool = "[[layer]]\nname = \"p\"\nkind = \"maxpool\"\nkernel = 4\ninputs = [\"input\"]\n";
    let conv = "[[layer]]\nname = \"c\"\nkind = \"conv\"\nchannels = 3\nkernel = 4\nstride = 4\ninputs = [\"input\"]\n";
    let up = "[[layer]]\nname = \"u\"\nkind = \"max_unpool\"\ninputs = [\"c\", \"p\"]\n";
    refuse_model(&format!("{pool}{conv}{up}"), &["mine.toml:3", "nothing takes the output of `p`"]);
    refuse_model(&format!("{pool}{}", up.replace("\"c\", ", "")), &["mine.toml:11", "u needs two or more inputs"]);
}

#[test]
fn names_of_models_and_layers() {
    let named = |model: &str, layer: &str| {
        let program = Program::new();
        let layer = format!("[[layer]]\nname = \"{layer}\"\nkind = \"relu\"\n");
        program.model("mine.toml", &format!("name = \"{model}\"\ninput = [3, 8, 8]\n{layer}{TAIL}"));
        program.output("inspect mine.toml")
    };
    let longest = "a".repeat(64);
    assert!(named(&longest, &longest).status.success());
    for (bad, word) in
        [("", "empty"), ("a,b", "letters"), ("a\\nb", "letters"), ("a\\\"b", "letters"), ("a b", "letters")]
    {
        assert_refused(&named(bad, "a"), 2, &["mine.toml:1:", word]);
        assert_refused(&named("a", bad), 2, &["mine.toml:4:", word]);
    }
    let long = "a".repeat(65);
    assert_refused(&named(&long, "a"), 2, &["mine.toml:1:", "65 letters", "64 are the most"]);
    assert_refused(&named("a", &long), 2, &["mine.toml:4:", "65 letters", "64 are the most"]);
}

/// With the default device, on a machine without a GPU, a mistake comes before the word that it will be the CPU.
#[test]
fn a_mistake_comes_before_the_choice_of_device() {
    for command in ["run --model nowhere.toml", "verify --model nowhere.toml", "run --model tiny --image 1"] {
        let code = 2;
        assert_refused(&Program::new().output(command), code, &[]);
    }
}

#[test]
fn a_batch_that_cannot_fit_is_reported_and_the_others_run() {
    let program = Program::new();
    let output = program.output(&format!("{QUICK} --image 512 --batch 1,1048576"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rows = records(&program.run_folder().join("summary.csv"));
    let steps: Vec<_> = rows.iter().filter(|row| row["group"] == "all" && row["phase"] == "all").collect();
    assert_eq!(steps.len(), 2);
    assert_ne!(steps[0]["status"], "out_of_memory");
    assert!(number(steps[0], "mean_us") > 0.0);
    assert_eq!((steps[1]["batch"].as_str(), steps[1]["status"].as_str()), ("1048576", "out_of_memory"));
    assert_eq!(steps[1]["mean_us"], "");
}

#[test]
fn nothing_measured_is_a_failure() {
    let program = Program::new();
    let output = program.output(&format!("{QUICK} --image 512 --batch 1048576"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no batch could be measured"));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let program = Program::new();
    std::fs::write(program.folder.path().join("file"), "").unwrap();
    assert_refused(&program.output(&format!("{QUICK} --batch 1 --out file/results")), 1, &["file/results", "--out"]);
    assert_refused(&program.output("run --resume nowhere"), 1, &["nowhere"]);
}

/// Every number of a description has one wording, with the true range, file and line.
#[test]
fn numbers_of_descriptions() {
    let whole = "must be a whole number from 1 to 1048576";
    let layer = |kind: &str, keys: &str| format!("[[layer]]\nname = \"a\"\nkind = \"{kind}\"\n{keys}\n");
    let refused = |kind: &str, keys: &str, words: &str| {
        let program = Program::new();
        program.model("mine.toml", &format!("{HEAD}{}{TAIL}", layer(kind, keys)));
        assert_refused(&program.output("inspect mine.toml"), 2, &["mine.toml:6: ", words]);
    };
    for bad in ["-1", "0", "1048577", "99999999999999999999", "1.5", "nan", "inf", "\"3\"", "[3]", "true"] {
        for (kind, key) in [("conv", "channels"), ("conv", "groups"), ("fc", "outputs"), ("lrn", "size")] {
            refused(kind, &format!("{key} = {bad}"), &format!("{key} {whole}, not {bad}"));
        }
        for (kind, key) in [("conv", "kernel"), ("maxpool", "stride"), ("avgpool", "output")] {
            refused(kind, &format!("{key} = {bad}"), &format!("{key} {whole}, or two, [height, width], not {bad}"));
        }
    }
    refused(
        "conv",
        "pad = [0, -1]",
        "pad must be a whole number from 0 to 1048576, or two, [height, width], or four, [top, left, bottom, right], or \"same\", not [0, -1]",
    );
    for bad in ["-1", "nan", "inf", "-inf", "1e300", "\"x\""] {
        for (kind, key, range) in [
            ("lrn", "alpha", "from 0 to 1000000"),
            ("lrn", "beta", "above 0 and up to 1000000"),
            ("lrn", "k", "above 0 and up to 1000000"),
            ("dropout", "p", "from 0 to below 1"),
            ("batchnorm", "eps", "above 0 and up to 1000000"),
            ("batchnorm", "momentum", "from 0 to 1"),
        ] {
            refused(kind, &format!("{key} = {bad}"), &format!("{key} must be a number {range}, not {bad}"));
        }
    }
    // Too small for the arithmetic of the step: zero there.
    refuse_model(&layer("batchnorm", "eps = 1e-300"), &["mine.toml:3: eps must be a number above 0", "not 0"]);
    for bad in ["[3, 8]", "[3, 8, -8]", "[3, 8, 1e3]", "[0, 8, 8]", "3"] {
        let program = Program::new();
        program.model("mine.toml", &format!("name = \"mine\"\ninput = {bad}\n{TAIL}"));
        let words = format!("input must be [channels, height, width], whole numbers from 1 to 1048576, not {bad}");
        assert_refused(&program.output("inspect mine.toml"), 2, &["mine.toml:2: ", &words]);
    }
}

#[test]
fn a_layer_that_takes_itself() {
    refuse_model(
        "[[layer]]\nname = \"a\"\nkind = \"relu\"\ninputs = [\"a\"]\n",
        &["mine.toml:6: `a` takes itself: name another layer"],
    );
}

#[test]
fn numbers_of_options() {
    for (option, range) in [
        ("--batch", "from 1 to 1048576"),
        ("--image", "from 1 to 65536"),
        ("--min-samples", "from 0 to 1000000"),
        ("--threads", "from 1 to 4096"),
        ("--seed", "from 0 to 18446744073709551615"),
        ("--learning-rate", "from 0 to 1000000"),
        ("--momentum", "from 0 to 1000000"),
        ("--weight-decay", "from 0 to 1000000"),
        ("--lock-memory-clock", "from 1 to 100000"),
        ("--target", "above 0 and up to 100"),
        ("--max-time", "up to 1day"),
        ("--warm-up", "up to 1day"),
    ] {
        for bad in ["-1", "nan", "inf", "1e300", "", "99999999999999999999999"] {
            assert_refused(&Program::new().command("run").args([option, bad]).output().unwrap(), 2, &[option, range]);
        }
    }
    assert_refused(&Program::new().output("show . --top -1"), 2, &["--top", "from 1 to 1000000"]);
}

/// Names out of files, and the command line, never reach a terminal as they are.
#[test]
fn control_characters_are_spelled_out() {
    let program = Program::new();
    let esc = "\\u001b[31m\\u0000\\nred";
    let relu = |keys: &str| format!("[[layer]]\nname = \"a\"\nkind = \"relu\"\n{keys}\n");
    for (name, text) in [
        ("unknown.toml", relu(&format!("inputs = [\"{esc}\"]"))),
        ("kind.toml", format!("[[layer]]\nname = \"a\"\nkind = \"{esc}\"\n")),
        ("key.toml", relu(&format!("\"{esc}\" = 1"))),
        ("name.toml", format!("[[layer]]\nname = \"{esc}\"\nkind = \"relu\"\n")),
        ("number.toml", format!("[[layer]]\nname = \"a\"\nkind = \"fc\"\noutputs = \"{esc}\"\n")),
    ] {
        program.model(name, &format!("{HEAD}{text}{TAIL}"));
    }
    program.model("key2.toml", &format!("{HEAD}{TAIL}").replace("input =", &format!("\"{esc}\" = 1\ninput =")));
    program.model(
        "a.prototxt",
        "name: \"\u{1b}[31m\" layer { name: \"\u{1b}[31m\" type: \"\u{1b}[31m\" bottom: \"\u{7}\" }",
    );
    program.model(
        "gpus.toml",
        &format!(
            "[[gpu]]\nname = \"{esc}\"\ntitle = \"{esc}\"\n\"{esc}\" = 1\nf32 = 1\nbandwidth = 1\nmemory = 1\nsms = 1\n"
        ),
    );
    let files = ["unknown", "kind", "key", "name", "number", "key2"].map(|name| format!("inspect {name}.toml"));
    let more = ["inspect a.prototxt", "predict --gpu-file gpus.toml", "inspect \u{1b}[31m", "run --batch \u{1b}[31m"];
    for command in files.iter().map(String::as_str).chain(more) {
        let output = program.output(command);
        let message = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        assert!(!message.trim_end().contains(|c: char| c.is_control()), "{command}: {message:?}");
    }
}
