//! Charts of runs, as SVG and PNG.
//!
//! Each run and image size has its own `phases`, `shares`, `layers` and `roofline`; `times` holds all runs, and `architectures` all
//! networks of a device. One file per chart, each a function from runs to a [`Scene`].

mod architectures;
mod axes;
mod layers;
mod naming;
mod paint;
mod phases;
mod roofline;
mod scene;
mod shares;
mod stack;
mod style;
mod times;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::rows::LabelColumns;
use super::run::{Point, Run};
use crate::profile::Status;
pub use paint::{inline_svg, png, svg};
use scene::{Across, Pixel};
pub use scene::{Canvas, Scene};

/// More curves cannot be told apart in one chart, and more runs' charts are not looked through.
pub const MOST_RUNS: usize = 6;
/// More networks have no room in one chart.
pub const MOST_NETWORKS: usize = 60;

/// The charts of one image size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chart {
    /// Share of the step by group and phase, over batch size: the answer in one picture.
    Phases,
    /// Share of the step by group, over batch size.
    Shares,
    /// Time by layer and phase at one batch.
    Layers,
    /// Rate over operations per byte at one batch.
    Roofline,
}

impl Chart {
    /// All of them, in the order of the page.
    pub const ALL: [Chart; 4] = [Chart::Phases, Chart::Shares, Chart::Layers, Chart::Roofline];

    /// The name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Chart::Phases => "phases",
            Chart::Shares => "shares",
            Chart::Layers => "layers",
            Chart::Roofline => "roofline",
        }
    }

    /// `None` where there is nothing to draw.
    pub fn scene(self, run: &Run, image: &str, batch: Option<usize>, canvas: Canvas) -> Option<Scene> {
        match self {
            Chart::Phases => phases::scene(run, image, canvas),
            Chart::Shares => shares::scene(run, image, canvas),
            Chart::Layers => Some(layers::scene(run, at(run, image, batch)?, canvas)),
            Chart::Roofline => roofline::scene(run, at(run, image, batch)?, canvas),
        }
    }
}

/// All runs' step times and throughput; `None` where nothing was measured.
pub fn times(runs: &[Run], canvas: Canvas) -> Option<Scene> {
    times::scene(runs, canvas)
}

/// The charts that compare networks, with the names of their files; for `batch`, or the least and the largest that most networks
/// have.
pub fn architectures(runs: &[Run], batch: Option<usize>) -> Vec<architectures::Panel<'_>> {
    architectures::panels(runs, batch)
}

/// Refuses what cannot be drawn.
pub fn check(runs: &[Run], batch: Option<usize>) -> Result<()> {
    // Charts are named after their runs.
    let named = |index: usize| runs[..index].iter().any(|run| run.run_id == runs[index].run_id);
    if let Some(twice) = (1..runs.len()).find(|&index| named(index)) {
        bail!("the run {} is given twice: leave one of the two out", runs[twice].run_id);
    }
    let Some(batch) = batch else { return Ok(()) };
    if !runs.iter().flat_map(|run| &run.points).any(|point| point.batch == batch && point.is_measured()) {
        let mut batches: Vec<usize> = runs
            .iter()
            .flat_map(|run| &run.points)
            .filter(|point| point.is_measured())
            .map(|point| point.batch)
            .collect();
        batches.sort_unstable();
        batches.dedup();
        let batches: Vec<String> = batches.iter().map(usize::to_string).collect();
        bail!("batch {batch} was not measured: give one of {}", batches.join(", "));
    }
    Ok(())
}

/// Writes every chart as SVG and PNG into a folder; answers the files.
pub fn write(runs: &[Run], batch: Option<usize>, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut save = |name: &str, scene: Option<Scene>| -> Result<()> {
        let Some(scene) = scene else { return Ok(()) };
        let paths = ["svg", "png"].map(|end| folder.join(format!("{name}.{end}")));
        let written = std::fs::write(&paths[0], svg(&scene)?).map_err(Into::into).and_then(|()| png(&scene, &paths[1]));
        written
            .with_context(|| format!("cannot write {name} in {}: name another folder with --out", folder.display()))?;
        files.extend(paths);
        Ok(())
    };
    for panel in architectures(runs, batch) {
        save(&super::folder::file_name(&panel.name, 120), panel.scene(Canvas::WIDE))?;
    }
    if runs.len() > MOST_RUNS {
        return Ok(files);
    }
    for run in runs {
        for image in run.images() {
            for chart in Chart::ALL {
                let mut name = chart.name().to_owned();
                name += &if run.images().len() > 1 { format!("-{image}") } else { String::new() };
                name = if runs.len() > 1 { format!("{}-{name}", run.run_id) } else { name };
                save(&super::folder::file_name(&name, 120), chart.scene(run, &image, batch, Canvas::WIDE))?;
            }
        }
    }
    save("times", times(runs, Canvas::WIDE))?;
    Ok(files)
}

/// The point whose layers are drawn.
pub(super) fn at<'a>(run: &'a Run, image: &str, batch: Option<usize>) -> Option<&'a Point> {
    match batch {
        Some(batch) => run.measured(image).into_iter().find(|point| point.batch == batch),
        None => run.largest(image),
    }
}

/// Names the run and the image size.
fn subtitle(run: &Run, image: &str) -> String {
    format!("{}, image {image}", run.heading())
}

/// Batches that were not measured well, in words.
fn unlike_ok(run: &Run, image: &str) -> Vec<String> {
    let statuses = [Status::OutOfMemory, Status::Throttled, Status::Noisy];
    let of_status = |status: Status| {
        let points = run.points.iter().filter(|point| &*point.image == image && point.status == status);
        let batches: Vec<String> = points.map(|point| point.batch.to_string()).collect();
        (!batches.is_empty()).then(|| format!("{} at batch {}", status.name().replace('_', " "), batches.join(", ")))
    };
    let found: Vec<String> = statuses.into_iter().filter_map(of_status).collect();
    if found.is_empty() { Vec::new() } else { vec![found.join("; ")] }
}

/// Names runs by what tells them from one another; by the run's name where nothing else does.
fn names_of(runs: &[Run]) -> Vec<String> {
    let fields = |run: &Run| {
        let LabelColumns { model, device, precision, layout, launch, .. } = run.labels();
        [model, device, precision, layout, launch]
    };
    let all: Vec<[String; 5]> = runs.iter().map(fields).collect();
    let differing: Vec<usize> = (0..5).filter(|&field| all.iter().any(|one| one[field] != all[0][field])).collect();
    let names: Vec<String> = match differing.is_empty() {
        true => runs.iter().map(|run| format!("{}, {}", run.who(), run.precision)).collect(),
        false => {
            all.iter().map(|one| differing.iter().map(|&field| &*one[field]).collect::<Vec<_>>().join(", ")).collect()
        }
    };
    let twice = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    names.iter().zip(runs).map(|(name, run)| if twice(name) { run.run_id.clone() } else { name.clone() }).collect()
}

/// Entries side by side, in as many lines as they need; answers where they end.
fn legend(scene: &mut Scene, top: f64, names: &[&str], draw: &mut dyn FnMut(&mut Scene, Pixel, usize)) -> f64 {
    const SAMPLE: f64 = 34.0;
    let (size, line) = (0.9 * scene.canvas.font, scene.canvas.line());
    let (mut x, mut y) = (8.0, top);
    for (index, name) in names.iter().enumerate() {
        let lines = scene::broken(name, size, scene.canvas.width - SAMPLE - 16.0);
        let width = SAMPLE + style::text_width(&lines[0], size) + 18.0;
        if x > 8.0 && (x + width > scene.canvas.width || lines.len() > 1) {
            (x, y) = (8.0, y + line);
        }
        draw(scene, [x, y], index);
        for (below, text) in lines.iter().enumerate() {
            y += if below > 0 { line } else { 0.0 };
            scene.text([x + SAMPLE, y], text, size, Across::Left);
        }
        x += if lines.len() > 1 { scene.canvas.width } else { width };
    }
    if names.is_empty() { y } else { y + line }
}

#[cfg(test)]
mod tests;
