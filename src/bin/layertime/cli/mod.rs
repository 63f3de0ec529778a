//! The command line: parsed and validated here, acted on elsewhere.

mod device;
mod manual;
mod precision;
pub mod resume;
mod room;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use device::{ClockArgs, DeviceArgs};
use layertime::device::Training;
use layertime::device::options::{Layout, Reduce, Search};
use layertime::plan::Phase;
use layertime::plan::Precision;
use layertime::predict::Program;
pub use manual::{CompletionsArgs, ManArgs};
pub use room::{Format, LayerArgs, RoomArgs};
pub use values::ImageSize;

/// Which layers take the time in CNN training: convolution or fully connected, in which phase, at which batch size.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train step by step over a sweep of batch sizes and time every layer and phase.
    Run(RunArgs),
    /// Print a model's static table: shapes, parameters, multiply-adds, memory.
    Inspect(InspectArgs),
    /// Show which devices can be used here, and what is missing.
    Devices(DevicesArgs),
    /// Check every layer and phase against double precision or another framework's tensors.
    Verify(VerifyArgs),
    /// Predict, from datasheets and published measurements, what a GPU that is not here would take.
    Predict(PredictArgs),
    /// Print a stored run's tables again, as text, Markdown, CSV or JSON.
    Show(ShowArgs),
    /// Draw a run's charts as SVG and PNG, or a page with charts and tables.
    Plot(PlotArgs),
    /// Set two runs, or several of each, side by side.
    Compare(CompareArgs),
    /// Print a script with which a shell completes commands and options.
    Completions(CompletionsArgs),
    /// Print a page for man, or write them all.
    Man(ManArgs),
}

/// The help of a model's argument.
fn models() -> String {
    let names: Vec<&str> = layertime::model::Model::names().collect();
    format!("A built-in model ({}), or a .toml, .onnx or .prototxt file", names.join(", "))
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct RunArgs {
    #[arg(long, default_value = "alexnet", value_name = "NAME|FILE", help = models())]
    pub model: String,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Batch sizes [default: 1,2,4,8,16,32; on a GPU also 64,128,256,512].
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = values::batches)]
    pub batch: Vec<usize>,
    /// Image sizes, as a side or HxW [default: the model's own].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub image: Vec<ImageSize>,
    /// Stop when the median step's 95 % interval is this narrow to either side.
    #[arg(long, default_value = "1%", value_name = "PERCENT", value_parser = values::percent)]
    pub target: f64,
    /// Stop after this long per batch size, warm-up apart, or after 10,000 samples.
    #[arg(long, default_value = "15s", value_name = "DURATION", value_parser = values::duration)]
    pub max_time: Duration,
    /// Take at least this many timed steps (never fewer than 6); a batch with fewer is noisy.
    #[arg(long, default_value = "10", value_name = "N", value_parser = values::samples)]
    pub min_samples: usize,
    /// Warm up for this long at least [default: 500ms, or a tenth of --max-time where that is less].
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub warm_up: Option<Duration>,
    /// Write samples.csv, every timed step and phase; done anyhow, but where a run without it goes on.
    #[arg(long, conflicts_with = "no_samples")]
    pub samples: bool,
    /// Do not write samples.csv.
    #[arg(long, conflicts_with = "samples")]
    pub no_samples: bool,
    /// Folder in which the run's own folder is made.
    #[arg(long, default_value = "results", value_name = "DIR", conflicts_with = "resume")]
    pub out: PathBuf,
    /// Go on with an interrupted run's folder, with the options it was started with; those given beside it take their place.
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Also compute the gradient of the image, which training does not need.
    #[arg(long)]
    pub input_gradient: bool,
    /// When ranks that mpirun started average their gradients.
    #[arg(long, default_value = "serial", value_parser = values::reduce())]
    pub reduce: Reduce,
    #[command(flatten)]
    pub clocks: ClockArgs,
    #[command(flatten)]
    pub layers: LayerArgs,
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct TrainingArgs {
    /// Seed of images, labels, weights, dropout and the order within pairs.
    #[arg(long, default_value = "1", value_name = "N", value_parser = values::seed)]
    pub seed: u64,
    #[arg(long, default_value = "0.01", value_name = "X", value_parser = values::constant)]
    pub learning_rate: f32,
    #[arg(long, default_value = "0.9", value_name = "X", value_parser = values::constant)]
    pub momentum: f32,
    #[arg(long, default_value = "0.0005", value_name = "X", value_parser = values::constant)]
    pub weight_decay: f32,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct InspectArgs {
    #[arg(value_name = "NAME|FILE", help = models())]
    pub model: String,
    #[arg(long, default_value = "1", value_name = "N", value_parser = values::batch)]
    pub batch: usize,
    /// Image size, as a side or HxW [default: the model's own].
    #[arg(long)]
    pub image: Option<ImageSize>,
    /// Write CSV to standard output, or with --csv=FILE to a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub csv: Option<Option<PathBuf>>,
    /// Print the network as a description in TOML, to keep and edit.
    #[arg(long, conflicts_with_all = ["csv", "batch", "image"])]
    pub toml: bool,
    #[command(flatten)]
    pub layers: LayerArgs,
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct VerifyArgs {
    /// A built-in model, or a .toml, .onnx or .prototxt file [default: alexnet, or the one that the reference names].
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// Images in the step; a reference has its own.
    #[arg(long, default_value = "2", value_name = "N", value_parser = values::batch, conflicts_with = "reference")]
    pub batch: usize,
    /// Image size, as a side or HxW [default: the model's own]; a reference has its own.
    #[arg(long, conflicts_with = "reference")]
    pub image: Option<ImageSize>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Also check the gradient of the image.
    #[arg(long)]
    pub input_gradient: bool,
    /// Check against tensors exported from another framework.
    #[arg(long, value_name = "FILE.safetensors")]
    pub reference: Option<PathBuf>,
    /// Check that so many ranks, with --batch images each, train as one rank with all of them; on the CPU.
    #[arg(long, value_name = "N", value_parser = values::ranks, conflicts_with = "reference")]
    pub ranks: Option<usize>,
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct PredictArgs {
    /// GPUs by name, or all [default: all, or all of --gpu-file].
    #[arg(long, value_delimiter = ',', value_name = "NAME|all")]
    pub gpu: Vec<String>,
    /// Your own GPUs, in the format of src/predict/gpus.toml.
    #[arg(long, value_name = "FILE.toml")]
    pub gpu_file: Option<PathBuf>,
    #[arg(long, default_value = "alexnet", value_name = "NAME|FILE", help = models())]
    pub model: String,
    #[arg(long, default_value = "1,2,4,8,16,32,64,128,256,512", value_delimiter = ',', value_name = "LIST", value_parser = values::batches)]
    pub batch: Vec<usize>,
    /// Image sizes, as a side or HxW [default: the model's own].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub image: Vec<ImageSize>,
    #[arg(long, default_value = "f32", value_parser = values::precision())]
    pub precision: Precision,
    /// Arithmetic of fully connected layers, where it is not that of convolutions: f32 with tf32 is PyTorch's default.
    #[arg(long, value_parser = values::fc_precision())]
    pub fc_precision: Option<Precision>,
    /// Memory order of activations [default: the program's; layertime's is nchw for f32, nhwc for tf32, f16 and bf16].
    #[arg(long, value_parser = values::layout())]
    pub layout: Option<Layout>,
    /// Whose training step: a framework's passes come on top of the library's kernels.
    #[arg(long, default_value = "layertime", value_parser = values::program())]
    pub program: Program,
    /// Convolution algorithms: the fastest of all, or the library's own pick.
    #[arg(long, default_value = "search", value_parser = values::search())]
    pub algorithms: Search,
    /// Also count the gradient of the image, which training does not need.
    #[arg(long)]
    pub input_gradient: bool,
    /// Count these phases only: forward, backward_data, backward_weights, weight_update, at f16 loss_scale [default: all].
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = values::phase)]
    pub phases: Vec<Phase>,
    /// Also save phases.csv, summary.csv and run.json, one folder per GPU, under this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub layers: LayerArgs,
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct ShowArgs {
    /// Folders of runs, or CSV files of phases.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Layers at this batch [default: the largest whose shares are known]; with csv, only its rows.
    #[arg(long, value_name = "N", value_parser = values::batch)]
    pub batch: Option<usize>,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    pub layers: LayerArgs,
    #[command(flatten)]
    pub room: RoomArgs,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct PlotArgs {
    /// Folders of runs, or CSV files of phases.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder for the charts [default: plots in the run's folder; for several runs plots].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write report.html: charts, tables, settings and method on one page that loads nothing.
    #[arg(long)]
    pub html: bool,
    /// Also write trace.json: one median step on a timeline, to open in ui.perfetto.dev.
    #[arg(long)]
    pub trace: bool,
    /// Batch of the charts by layer, and of the trace [default: the largest whose shares are known].
    #[arg(long, value_name = "N", value_parser = values::batch)]
    pub batch: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct CompareArgs {
    /// A and B: folders of runs, or CSV files of phases. With --with, all of them are A.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The runs of B, where A or B is several.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub with: Vec<PathBuf>,
    /// Batch sizes to compare [default: totals of all, layers at the largest that is ok]; fewer rows, sharper verdicts.
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = values::batches)]
    pub batch: Vec<usize>,
    /// The largest difference that is SAME: of a time [default: 2%], or of the step for shares [default: 0.5%].
    #[arg(long, value_name = "PERCENT", value_parser = values::percent)]
    pub margin: Option<f64>,
    /// Leave out phases and layers that take less of the step.
    #[arg(long, default_value = "0.5%", value_name = "PERCENT", value_parser = values::percent_or_none)]
    pub min_share: f64,
    /// You fixed the clocks yourself: judge times.
    #[arg(long)]
    pub clocks_fixed: bool,
    /// Exit with 1 where a row is SLOWER by more than this: slower:5%.
    #[arg(long, value_name = "slower:PERCENT", value_parser = values::slower)]
    pub fail_on: Option<f64>,
    /// Write CSV to standard output in place of the table, or with --csv=FILE to a file beside it.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub csv: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub room: RoomArgs,
}

impl RunArgs {
    /// Tells if samples.csv is to be written; `begun` is what the run to go on with does.
    pub fn writes_samples(&self, begun: Option<bool>) -> bool {
        match (self.samples, self.no_samples) {
            (false, false) => begun.unwrap_or(true),
            (samples, _) => samples,
        }
    }
}

impl TrainingArgs {
    pub fn constants(&self) -> Training {
        Training {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            seed: self.seed,
            dropout: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
