//! The columns of each CSV file, and their documentation.

use super::*;
use crate::report::table::{Cells, Table};

const NOT_MEASURED: &str = "where nothing was measured, as when the batch does not fit";
const PREDICTED: &str = "in a prediction, and where nothing was measured";
const FEW: &str = "with fewer than 6 samples; a prediction's comes from errors of others";
const NO_CHOICE: &str = "where there is no choice";
const NOT_TOLD: &str = "where the device does not tell";
const ALONE: &str = "with one rank";
const NOT_GROUPED: &str =
    "on rows of one phase, and without such steps: fewer than 6 were taken, as where `closure` is near 1";
const STEP_ONLY: &str = "on all rows but the step's, in a prediction, and where nothing was measured";

/// A column that may be missing.
pub const fn optional<R>(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    empty: &'static str,
    field: fn(&mut R) -> &mut dyn CsvField,
) -> Column<R> {
    Column { name, unit, meaning, empty, required: false, field }
}

/// A column without which a row means nothing.
pub const fn required<R>(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    empty: &'static str,
    field: fn(&mut R) -> &mut dyn CsvField,
) -> Column<R> {
    Column { name, unit, meaning, empty, required: true, field }
}

/// A row that says whose it is.
trait OfPoint: Row {
    fn point(&mut self) -> &mut PointColumns;
}

impl OfPoint for PhaseRow {
    fn point(&mut self) -> &mut PointColumns {
        &mut self.point
    }
}

impl OfPoint for SummaryRow {
    fn point(&mut self) -> &mut PointColumns {
        &mut self.point
    }
}

impl OfPoint for SampleRow {
    fn point(&mut self) -> &mut PointColumns {
        &mut self.point
    }
}

fn point_columns<R: OfPoint>() -> Vec<Column<R>> {
    vec![
        required("run_id", "name", "the run, as its folder is called", "", |row| &mut row.point().labels.run_id),
        required("model", "name", "the model", "", |row| &mut row.point().labels.model),
        required("device", "name", "the device; `predicted: ` and a GPU in a prediction", "", |row| {
            &mut row.point().labels.device
        }),
        required("precision", "word", "f32, tf32, f16 or bf16", "", |row| &mut row.point().labels.precision),
        optional("layout", "word", "memory order of activations: nchw or nhwc", "in a prediction", |row| {
            &mut row.point().labels.layout
        }),
        optional(
            "launch",
            "word",
            "how steps reach the device: queued or live, on the CPU direct",
            "in a prediction",
            |row| &mut row.point().labels.launch,
        ),
        required("batch", "images", "images per step", "", |row| &mut row.point().batch),
        required("image", "pixels", "image size, height x width", "", |row| &mut row.point().image),
    ]
}

impl Row for PhaseRow {
    const FILE: &'static str = "phases.csv";

    #[rustfmt::skip]
    fn columns() -> Vec<Column<PhaseRow>> {
        let mut columns = point_columns();
        columns.extend([
            required("layer_index", "number", "the layer's place in the model, from 0", "", |row: &mut PhaseRow| &mut row.layer_index),
            required("layer", "name", "the layer", "", |row| &mut row.layer),
            optional("kind", "word", "the layer's kind: conv, fc, relu …", "", |row| &mut row.kind),
            required("group", "word", "conv, fc or other", "", |row| &mut row.group),
            required("phase", "word", "forward, backward_data, backward_weights, all_reduce, loss_scale or weight_update", "", |row| &mut row.phase),
            required("status", "word", "how the batch went, the first that holds: predicted, out_of_memory, throttled, noisy, ok", "", |row| &mut row.status),
            optional("samples", "number", "timed steps", PREDICTED, |row| &mut row.samples),
            optional("median_us", "µs", "median time", NOT_MEASURED, |row| &mut row.duration.median_us),
            optional("ci95_low_us", "µs", "lower end of the median's 95 % interval", FEW, |row| &mut row.duration.ci95_low_us),
            optional("ci95_high_us", "µs", "upper end of the median's 95 % interval", FEW, |row| &mut row.duration.ci95_high_us),
            required("mean_us", "µs", "mean time; means add up, layers to groups to the step", NOT_MEASURED, |row| &mut row.duration.mean_us),
            optional("stddev_us", "µs", "sample standard deviation", PREDICTED, |row| &mut row.duration.stddev_us),
            optional("min_us", "µs", "shortest time", PREDICTED, |row| &mut row.duration.min_us),
            optional("q1_us", "µs", "first quartile", PREDICTED, |row| &mut row.duration.q1_us),
            optional("q3_us", "µs", "third quartile", PREDICTED, |row| &mut row.duration.q3_us),
            optional("max_us", "µs", "longest time", PREDICTED, |row| &mut row.duration.max_us),
            required("share_pct", "% of the step", "share of the step, computed in each step and averaged; shares add up", NOT_MEASURED, |row| &mut row.share.share_pct),
            optional("share_ci95_low_pct", "% of the step", "lower end of the share's 95 % interval", NOT_MEASURED, |row| &mut row.share.share_ci95_low_pct),
            optional("share_ci95_high_pct", "% of the step", "upper end of the share's 95 % interval", NOT_MEASURED, |row| &mut row.share.share_ci95_high_pct),
            optional("flops", "operations", "operations by the direct count, two per multiply-add", "", |row| &mut row.flops),
            optional("bytes", "bytes", "bytes read and written, each operand once", "", |row| &mut row.bytes),
            optional("gflops_per_s", "GFLOP/s", "`flops` over the median time", NOT_MEASURED, |row| &mut row.roof.gflops_per_s),
            optional("gbytes_per_s", "GB/s", "`bytes` over the median time", NOT_MEASURED, |row| &mut row.roof.gbytes_per_s),
            optional("bound", "word", "the limit: compute or memory, whichever ceiling asks for the longer time, latency beyond 4 times that, or cache where so few bytes moved quicker than memory can", NOT_MEASURED, |row| &mut row.roof.bound),
            optional("roof_pct", "% of the median", "the least time by the ceilings over the median time; above 100 where an algorithm computes less than the direct count", NOT_MEASURED, |row| &mut row.roof.roof_pct),
            optional("algorithm", "name", "how the phase was computed", NO_CHOICE, |row| &mut row.algorithm),
            optional("workspace_bytes", "bytes", "scratch memory of the algorithm", NO_CHOICE, |row| &mut row.workspace_bytes),
            optional("parameters", "number", "weights and biases of the layer", "", |row| &mut row.parameters),
            optional("sm_clock_mhz", "MHz", "clock of the multiprocessors, measured across the timed steps", NOT_TOLD, |row| &mut row.conditions.sm_clock_mhz),
            optional("mem_clock_mhz", "MHz", "clock of the memory", NOT_TOLD, |row| &mut row.conditions.mem_clock_mhz),
            optional("temperature_c", "°C", "highest temperature", NOT_TOLD, |row| &mut row.conditions.temperature_c),
            optional("throttled_samples", "number", "timed steps with a thermal or hardware slowdown right before or after", NOT_TOLD, |row| &mut row.conditions.throttled_samples),
            optional("power_capped_samples", "number", "timed steps with clocks held down by the power limit right before or after", NOT_TOLD, |row| &mut row.conditions.power_capped_samples),
            optional("ranks", "number", "ranks that trained together; durations are the slowest rank's, of all_reduce the fastest's; `batch` is each one's", ALONE, |row| &mut row.together.ranks),
            optional("rank_spread_pct", "% of the slowest", "how much less the fastest rank took than the slowest, mean over the timed steps", "with one rank, and where nothing was measured", |row| &mut row.together.rank_spread_pct),
        ]);
        columns
    }

    fn blank() -> PhaseRow {
        PhaseRow {
            point: PointColumns::default(),
            layer_index: 0,
            layer: String::new(),
            kind: String::new(),
            group: Group::Other,
            phase: Phase::Forward,
            status: StatusWord::Of(Status::Ok),
            samples: None,
            duration: DurationColumns::default(),
            share: ShareColumns::default(),
            flops: None,
            bytes: None,
            roof: RoofColumns::default(),
            algorithm: None,
            workspace_bytes: None,
            parameters: None,
            conditions: ConditionColumns::default(),
            together: RankColumns::default(),
        }
    }
}

impl Row for SummaryRow {
    const FILE: &'static str = "summary.csv";

    #[rustfmt::skip]
    fn columns() -> Vec<Column<SummaryRow>> {
        let mut columns = point_columns();
        columns.extend([
            required("group", "word", "conv, fc or other; `all` in a total over groups", "", |row: &mut SummaryRow| &mut row.group),
            required("phase", "word", "as in phases.csv; `all` in a total over phases", "", |row| &mut row.phase),
            required("status", "word", "how the batch went", "", |row| &mut row.status),
            optional("samples", "number", "timed steps", PREDICTED, |row| &mut row.samples),
            required("mean_us", "µs", "mean time", NOT_MEASURED, |row| &mut row.duration.mean_us),
            optional("median_us", "µs", "median time", NOT_MEASURED, |row| &mut row.duration.median_us),
            optional("ci95_low_us", "µs", "lower end of the median's 95 % interval", FEW, |row| &mut row.duration.ci95_low_us),
            optional("ci95_high_us", "µs", "upper end of the median's 95 % interval", FEW, |row| &mut row.duration.ci95_high_us),
            required("share_pct", "% of the step", "share of the step", NOT_MEASURED, |row| &mut row.share.share_pct),
            optional("share_ci95_low_pct", "% of the step", "lower end of the share's 95 % interval", NOT_MEASURED, |row| &mut row.share.share_ci95_low_pct),
            optional("share_ci95_high_pct", "% of the step", "upper end of the share's 95 % interval", NOT_MEASURED, |row| &mut row.share.share_ci95_high_pct),
            optional("closure", "ratio", "Σ phases of a timed step over the plain step beside it, median of the pairs; 1.00 says that marking costs nothing", STEP_ONLY, |row| &mut row.step.closure),
            optional("mark_us", "µs", "median length of an empty phase", STEP_ONLY, |row| &mut row.step.mark_us),
            optional("plain_step_us", "µs", "median step without marks", STEP_ONLY, |row| &mut row.step.plain_step_us),
            optional("wall_step_us", "µs", "median step on the host's clock, launched live, gaps included", STEP_ONLY, |row| &mut row.step.wall_step_us),
            optional("images_per_s", "images/s", "`batch`, of all ranks together, over `plain_step_us`, in a prediction over the step; version 0.1.0 took `wall_step_us`", "on all rows but the step's, and where nothing was measured", |row| &mut row.step.images_per_s),
            optional("planned_bytes", "bytes", "memory that the step holds, scratch included", "on all rows but the step's", |row| &mut row.step.planned_bytes),
            optional("measured_bytes", "bytes", "memory in use: on the CPU by this program, on a GPU by all", STEP_ONLY, |row| &mut row.step.measured_bytes),
            optional("grouped_us", "µs", "mean time in steps that are marked only where conv, fc or other changes", NOT_GROUPED, |row| &mut row.grouped.grouped_us),
            optional("grouped_share_pct", "% of the step", "share of such a step; reports take the groups' shares from here where `closure` is outside 0.97 to 1.03", NOT_GROUPED, |row| &mut row.grouped.share.share_pct),
            optional("grouped_share_ci95_low_pct", "% of the step", "lower end of that share's 95 % interval", NOT_GROUPED, |row| &mut row.grouped.share.share_ci95_low_pct),
            optional("grouped_share_ci95_high_pct", "% of the step", "upper end of that share's 95 % interval", NOT_GROUPED, |row| &mut row.grouped.share.share_ci95_high_pct),
            optional("grouped_closure", "ratio", "such a step over the plain step beside it, median", "on all rows but the step's, and without such steps", |row| &mut row.grouped.closure),
        ]);
        columns
    }

    fn blank() -> SummaryRow {
        SummaryRow {
            point: PointColumns::default(),
            group: OrAll(None),
            phase: OrAll(None),
            status: StatusWord::Of(Status::Ok),
            samples: None,
            duration: DurationColumns::default(),
            share: ShareColumns::default(),
            step: StepColumns::default(),
            grouped: GroupedColumns::default(),
        }
    }
}

impl Row for SampleRow {
    const FILE: &'static str = "samples.csv";

    #[rustfmt::skip]
    fn columns() -> Vec<Column<SampleRow>> {
        let mut columns = point_columns();
        columns.extend([
            required("sample", "number", "counts the timed steps of a batch from 0", "", |row: &mut SampleRow| &mut row.sample),
            required("layer_index", "number", "the layer's place in the model, from 0", "", |row| &mut row.layer_index),
            required("layer", "name", "the layer", "", |row| &mut row.layer),
            optional("kind", "word", "the layer's kind", "", |row| &mut row.kind),
            required("group", "word", "conv, fc or other", "", |row| &mut row.group),
            required("phase", "word", "as in phases.csv", "", |row| &mut row.phase),
            required("duration_us", "µs", "the phase's time in this step", "", |row| &mut row.duration_us),
        ]);
        columns
    }

    fn blank() -> SampleRow {
        SampleRow {
            point: PointColumns::default(),
            sample: 0,
            layer_index: 0,
            layer: String::new(),
            kind: String::new(),
            group: Group::Other,
            phase: Phase::Forward,
            duration_us: None,
        }
    }
}

/// The columns as a table, for the documentation.
pub fn described<R: Row>() -> Table {
    let row = |column: Column<R>| {
        let name = format!("`{}`{}", column.name, if column.required { " *" } else { "" });
        let empty = if column.empty.is_empty() { "never" } else { column.empty };
        [name, column.unit.into(), column.meaning.into(), empty.into()].to_vec()
    };
    let rows: Cells = R::columns().into_iter().map(row).collect();
    Table::of_words("", &["column", "unit", "meaning", "empty"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::ComparedRow;
    use crate::report::inspect::LayerRow;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/csv.md");

    /// The page with the table of `R` below its mark.
    fn with<R: Row>(page: &str) -> String {
        const END: &str = "<!-- end of columns -->";
        let mark = format!("<!-- columns: {} -->\n", R::FILE);
        let (before, after) = page.split_once(&mark).unwrap_or_else(|| panic!("docs/csv.md lacks {mark}"));
        let (_, rest) = after.split_once(END).unwrap();
        format!("{before}{mark}\n{}\n{END}{rest}", described::<R>().markdown())
    }

    #[test]
    fn the_page_lists_the_columns() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let tables = [with::<PhaseRow>, with::<SummaryRow>, with::<SampleRow>, with::<LayerRow>, with::<ComparedRow>];
        let wanted = tables.iter().fold(page.clone(), |page, with| with(&page));
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(PAGE, wanted).unwrap();
        } else {
            assert!(page == wanted, "docs/csv.md is not what the columns are: WRITE_DOCS=1 cargo test --lib columns");
        }
    }

    #[test]
    fn every_column_is_described() {
        fn check<R: Row>() {
            let mut names: Vec<&str> = R::columns().iter().map(|column| column.name).collect();
            assert!(R::columns().iter().all(|column| !column.unit.is_empty() && !column.meaning.is_empty()));
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        }
        check::<PhaseRow>();
        check::<SummaryRow>();
        check::<SampleRow>();
    }
}
