//! Step time against multiply-adds, a mark for each network: its area grows with the parameters, and its parts are the groups' shares
//! of the step.

use super::axes::{ChartAxis, Frame, number, room_left};
use super::legend;
use super::naming::place_names;
use super::scene::{Across, Canvas, Pixel, Scene, broken};
use super::style::{self, BLACK, Hatch, WHITE};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::summary::Scope;
use crate::report::run::{Origin, Point, Run};
use crate::units::short_count;

/// The radius of the mark with the most parameters, in pixels, where there is room.
const LARGEST: f64 = 32.0;
/// The least radius that shows parts.
const SMALLEST: f64 = 3.0;

/// A network at the batch of the chart.
struct Network<'a> {
    name: String,
    run: &'a Run,
    point: &'a Point,
    /// Of forward, for one image.
    macs: f64,
    parameters: f64,
    step_ms: f64,
}

/// The networks of one device, precision and batch.
pub struct Panel<'a> {
    /// The name of its files.
    pub name: String,
    batch: usize,
    networks: Vec<Network<'a>>,
}

/// The charts of runs of several networks: for each device and precision the least and the largest batch that most of its networks
/// have, or `batch`. None for a device with one network.
pub fn panels(runs: &[Run], batch: Option<usize>) -> Vec<Panel<'_>> {
    let mut devices: Vec<(String, Vec<&Run>)> = Vec::new();
    for run in runs {
        match devices.iter_mut().find(|(device, _)| *device == who(run)) {
            Some((_, of_device)) => of_device.push(run),
            None => devices.push((who(run), vec![run])),
        }
    }
    let several = devices.len() > 1;
    devices
        .iter()
        .flat_map(|(device, runs)| {
            let name = if several { format!("architectures-{device}") } else { "architectures".into() };
            of_device(&name, runs, batch)
        })
        .collect()
}

fn of_device<'a>(name: &str, runs: &[&'a Run], batch: Option<usize>) -> Vec<Panel<'a>> {
    let panel = |batch: usize| {
        let mut networks: Vec<Network> = runs.iter().flat_map(|run| networks(run, batch)).collect();
        // Large marks lie behind small ones.
        networks.sort_by(|a, b| b.parameters.total_cmp(&a.parameters));
        Panel { name: format!("{name}-batch-{batch}"), batch, networks }
    };
    let batches = batch.map_or_else(|| ends(runs), |batch| vec![batch]);
    batches.into_iter().map(panel).filter(Panel::is_comparison).collect()
}

/// The device and how it computes.
fn who(run: &Run) -> String {
    match &run.origin {
        Origin::Measured { device, layout, .. } if layout.is_empty() => format!("{device}, {}", run.precision),
        Origin::Measured { device, layout, .. } => format!("{device}, {}, {layout}", run.precision),
        Origin::Predicted { gpu } => format!("predicted for {gpu}, {}", run.precision),
    }
}

/// The least and the largest of the batches that most of the runs have.
fn ends(runs: &[&Run]) -> Vec<usize> {
    let has = |run: &Run, batch: usize| run.points.iter().any(|point| point.batch == batch && point.is_measured());
    let all = runs.iter().flat_map(|run| &run.points).filter(|point| point.is_measured());
    let mut batches: Vec<usize> = all.map(|point| point.batch).collect();
    batches.sort_unstable();
    batches.dedup();
    let count = |&batch: &usize| runs.iter().filter(|run| has(run, batch)).count();
    let most = batches.iter().map(count).max();
    batches.retain(|batch| Some(count(batch)) == most);
    let mut ends: Vec<usize> = batches.first().into_iter().chain(batches.last()).copied().collect();
    ends.dedup();
    ends
}

/// A run's network at each of its image sizes.
fn networks(run: &Run, batch: usize) -> Vec<Network<'_>> {
    let images = run.images();
    let of_image = |image: &std::sync::Arc<str>| {
        let point = run.measured(image).into_iter().find(|point| point.batch == batch)?;
        let step = point.total(Scope::STEP)?;
        // Two operations are a multiply-add; the others' operations are none.
        let flops = point.parts.iter().filter(|part| part.phase == Phase::Forward && part.group != Group::Other);
        let macs = flops.map(|part| part.flops as f64 / 2.0).sum::<f64>() / batch as f64;
        let parameters = point.layers().map(|parts| parts[0].parameters as f64).sum();
        let name = if images.len() > 1 { format!("{}, {image}", run.model) } else { run.model.clone() };
        let step_ms = step.median_us.unwrap_or(step.mean_us) / 1e3;
        (macs > 0.0).then_some(Network { name, run, point, macs, parameters, step_ms })
    };
    images.iter().filter_map(of_image).collect()
}

impl Panel<'_> {
    /// Tells if there are two networks to compare.
    fn is_comparison(&self) -> bool {
        self.networks.iter().any(|network| network.run.model != self.networks[0].run.model)
    }

    /// The chart.
    pub fn scene(&self, canvas: Canvas) -> Option<Scene> {
        let first = self.networks.first()?;
        let images = if self.batch == 1 { "image" } else { "images" };
        let title = format!("Step of {} {images} against multiply-adds", self.batch);
        let (mut scene, top) = Scene::begin(canvas, &title, &who(first.run));
        let radii = Radii::of(&self.networks, canvas);
        let top = explain(&mut scene, top, &radii) + 6.0;
        let height = if canvas.is_narrow() { 300.0 } else { 560.0 };
        let ends = |value: &dyn Fn(&Network) -> f64| {
            let values = self.networks.iter().map(value);
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
        };
        let ((left, right), (low, high)) = (ends(&|network| network.macs / 1e9), ends(&|network| network.step_ms));
        let pixels = [room_left(canvas.font), canvas.width - 12.0];
        let step = if first.run.is_predicted() { "step (ms, log scale)" } else { "median step (ms, log scale)" };
        let forward = "multiply-adds of forward for one image (billions, log scale)";
        let forward = if canvas.is_narrow() { "multiply-adds (billions, log scale)" } else { forward };
        let room = radii.of_parameters(radii.most) + 2.0;
        let frame = Frame {
            x: ChartAxis::log(left, right, pixels, forward).padded(room),
            y: ChartAxis::log(low, high, [top + height, top], step).padded(room),
        };
        scene.height = top + height + Frame::room_below(canvas.line());
        frame.draw_grid(&mut scene);
        for network in &self.networks {
            mark(&mut scene, network, network.at(&frame), radii.of_parameters(network.parameters));
        }
        frame.draw(&mut scene);
        let marks: Vec<(Pixel, f64)> =
            self.networks.iter().map(|one| (one.at(&frame), radii.of_parameters(one.parameters))).collect();
        let names: Vec<&str> = self.networks.iter().map(|network| &*network.name).collect();
        place_names(&mut scene, &marks, &names, [pixels[0], top, pixels[1], top + height]);
        scene.description = self.describe();
        Some(scene)
    }

    fn describe(&self) -> String {
        let networks: Vec<String> = self.networks.iter().map(Network::value).collect();
        format!("A mark for each network, both axes logarithmic. {}.", networks.join("; "))
    }
}

impl Network<'_> {
    fn at(&self, frame: &Frame) -> Pixel {
        frame.at(self.macs / 1e9, self.step_ms)
    }

    /// Its figures.
    fn value(&self) -> String {
        let [conv, fc, other] = Group::ALL.map(|group| self.point.share(group));
        let (macs, parameters) = (short_count(self.macs as u64), short_count(self.parameters as u64));
        format!(
            "{}: {:.1} ms, {macs} multiply-adds, {parameters} parameters; conv {conv:.0} %, fc {fc:.0} %, other {other:.0} %",
            self.name, self.step_ms
        )
    }
}

/// From parameters to radii: areas are in proportion, but for the least.
struct Radii {
    most: f64,
    largest: f64,
}

impl Radii {
    fn of(networks: &[Network], canvas: Canvas) -> Radii {
        let most = networks.iter().map(|network| network.parameters).fold(1.0, f64::max);
        Radii { most, largest: if canvas.is_narrow() { 0.5 * LARGEST } else { LARGEST } }
    }

    fn of_parameters(&self, parameters: f64) -> f64 {
        (self.largest * (parameters / self.most).sqrt()).max(SMALLEST)
    }
}

/// A circle cut into the groups' shares, clockwise from the top.
fn mark(scene: &mut Scene, network: &Network, at: Pixel, radius: f64) {
    let mut from = 0.0;
    for group in Group::ALL {
        let share = network.point.share(group) / 100.0;
        if share > 0.0 {
            scene.area(sector(at, radius, [from, from + share]), style::mark_of_group(group), Hatch::None);
        }
        from += share;
    }
    // A rim keeps marks apart that lie on one another.
    scene.line(arc(at, radius + 0.75, [0.0, 1.0]), WHITE, 1.0);
    scene.line(arc(at, radius, [0.0, 1.0]), BLACK, 0.75);
    let reach = radius.max(6.0);
    scene.tip([at[0] - reach, at[1] - reach], [at[0] + reach, at[1] + reach], network.value());
}

/// Points on a circle between two parts of a turn.
fn arc([x, y]: Pixel, radius: f64, [from, to]: [f64; 2]) -> Vec<Pixel> {
    // A side of about a pixel and a half.
    let sides = (radius * 4.0 * (to - from)).ceil().max(8.0);
    let corner = |index: u32| {
        let angle = std::f64::consts::TAU * (from + (to - from) * f64::from(index) / sides);
        [x + radius * angle.sin(), y - radius * angle.cos()]
    };
    (0..=sides as u32).map(corner).collect()
}

fn sector(at: Pixel, radius: f64, part: [f64; 2]) -> Vec<Pixel> {
    let whole = part[1] - part[0] > 0.9999;
    let center = (!whole).then_some(at);
    center.into_iter().chain(arc(at, radius, part)).collect()
}

/// A power of ten in words.
fn round(power: f64) -> String {
    match power {
        power if power >= 1e9 => format!("{} billion", number(power / 1e9)),
        power if power >= 1e6 => format!("{} million", number(power / 1e6)),
        power => number(power),
    }
}

/// Explains parts and sizes; answers where that ends.
fn explain(scene: &mut Scene, top: f64, radii: &Radii) -> f64 {
    let names = Group::ALL.map(|group| format!("{}'s part of the step", group.name()));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let top = legend(scene, top, &names, &mut |scene, [x, y], index| {
        scene.rectangle([x, y - 6.0], [x + 18.0, y + 6.0], style::mark_of_group(Group::ALL[index]), Hatch::None);
    });
    // The least marks are larger than they should be.
    let to_scale = |&power: &f64| power <= radii.most && radii.of_parameters(power) > SMALLEST;
    let powers = (0..12).map(|power| 10f64.powi(power)).filter(to_scale);
    let samples: Vec<f64> = powers.collect::<Vec<_>>().into_iter().rev().take(3).rev().collect();
    let highest = samples.last().map_or(0.0, |&sample| radii.of_parameters(sample));
    let (size, middle) = (0.9 * scene.canvas.font, top - 0.5 * scene.canvas.line() + highest + 3.0);
    let words = "area: parameters";
    for (line, text) in broken(words, size, scene.canvas.width / 2.0).iter().enumerate() {
        scene.text([8.0, middle + line as f64 * scene.canvas.line()], text, size, Across::Left);
    }
    let mut x = 8.0 + style::text_width(words, size) + 14.0;
    for sample in samples {
        let radius = radii.of_parameters(sample);
        scene.line(arc([x + radius, middle], radius, [0.0, 1.0]), BLACK, 0.75);
        x += 2.0 * radius + 5.0;
        let text = round(sample);
        scene.text([x, middle], &*text, size, Across::Left);
        x += style::text_width(&text, size) + 14.0;
    }
    middle + highest + 0.5 * scene.canvas.line()
}

#[cfg(test)]
mod tests;
