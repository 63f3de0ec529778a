//! Axes: where a value stands, ticks at round numbers, titles with their unit.

use super::scene::{Across, Pixel, Scene};
use super::style::{BLACK, PALE, text_width};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisScale {
    Linear,
    Log,
}

#[derive(Clone, Debug)]
pub struct ChartAxis {
    scale: AxisScale,
    values: [f64; 2],
    pixels: [f64; 2],
    ticks: Vec<f64>,
    title: String,
}

/// The rectangle between two axes.
#[derive(Clone, Debug)]
pub struct Frame {
    pub x: ChartAxis,
    pub y: ChartAxis,
}

impl ChartAxis {
    /// From 0 up, with ticks about `apart` pixels from one another.
    pub fn from_zero(most: f64, pixels: [f64; 2], apart: f64, title: &str) -> ChartAxis {
        let most = if most > 0.0 { most } else { 1.0 };
        let wanted = ((pixels[1] - pixels[0]).abs() / apart).max(1.0);
        let power = 10f64.powf((most / wanted).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| most / step <= wanted);
        let step = step.unwrap_or(10.0 * power);
        let ticks = (0..=(most / step * (1.0 + 1e-9)) as u32).map(|tick| f64::from(tick) * step).collect();
        ChartAxis { scale: AxisScale::Linear, values: [0.0, most], pixels, ticks, title: title.into() }
    }

    /// Logarithmic, a little beyond the least and the most, with ticks at 1, 2, 5, 10 … or at powers of ten; where these are
    /// fewer than two, as for values close to one another, at even steps.
    pub fn log(least: f64, most: f64, pixels: [f64; 2], title: &str) -> ChartAxis {
        let (least, most) = (least / 1.25, most * 1.25);
        let decades = (most / least).log10();
        let steps: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        let ticks: Vec<f64> = all.filter(|tick| (least..=most).contains(tick)).collect();
        let ticks = if ticks.len() < 2 { even_ticks(least, most) } else { ticks };
        ChartAxis { scale: AxisScale::Log, values: [least, most], pixels, ticks, title: title.into() }
    }

    /// Logarithmic, with a tick at each batch size.
    pub fn batches(batches: &[usize], pixels: [f64; 2]) -> ChartAxis {
        let ticks: Vec<f64> = batches.iter().map(|&batch| batch as f64).collect();
        let (least, most) = (ticks.iter().copied().fold(f64::MAX, f64::min), ticks.iter().copied().fold(0.0, f64::max));
        // One batch alone stands in the middle.
        let values = if least < most { [least, most] } else { [least / 2.0, most * 2.0] };
        ChartAxis {
            scale: AxisScale::Log,
            values,
            pixels,
            ticks,
            title: "batch size (images per step, log scale)".into(),
        }
    }

    /// Makes room at both ends.
    pub fn padded(mut self, pixels: f64) -> ChartAxis {
        let direction = (self.pixels[1] - self.pixels[0]).signum();
        let inner = [self.pixels[0] + direction * pixels, self.pixels[1] - direction * pixels];
        let value = |pixel: f64| {
            let part = (pixel - inner[0]) / (inner[1] - inner[0]);
            self.values[0] * (self.values[1] / self.values[0]).powf(part)
        };
        self.values = [value(self.pixels[0]), value(self.pixels[1])];
        self
    }

    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let part = match self.scale {
            AxisScale::Linear => (value - low) / (high - low),
            AxisScale::Log => (value / low).ln() / (high / low).ln(),
        };
        self.pixels[0] + part * (self.pixels[1] - self.pixels[0])
    }

    /// The least and the most value shown.
    pub fn values(&self) -> [f64; 2] {
        self.values
    }

    /// The widest of the ticks' labels.
    pub fn label_width(&self, size: f64) -> f64 {
        self.ticks.iter().map(|&tick| text_width(&number(tick), size)).fold(0.0, f64::max)
    }
}

impl Frame {
    pub fn at(&self, x: f64, y: f64) -> Pixel {
        [self.x.at(x), self.y.at(y)]
    }

    /// Behind the data.
    pub fn draw_grid(&self, scene: &mut Scene) {
        let ([left, right], [bottom, top]) = (self.x.pixels, self.y.pixels);
        for &tick in &self.x.ticks {
            scene.line(vec![[self.x.at(tick), bottom], [self.x.at(tick), top]], PALE, 1.0);
        }
        for &tick in &self.y.ticks {
            scene.line(vec![[left, self.y.at(tick)], [right, self.y.at(tick)]], PALE, 1.0);
        }
    }

    /// Lines, labels and titles; labels that would touch the one before are left out.
    pub fn draw(&self, scene: &mut Scene) {
        let ([left, right], [bottom, top]) = (self.x.pixels, self.y.pixels);
        let size = 0.9 * scene.canvas.font;
        scene.line(vec![[left, top], [left, bottom], [right, bottom]], BLACK, 1.5);
        let mut free_from = f64::MIN;
        for &tick in &self.x.ticks {
            let (x, half) = (self.x.at(tick), text_width(&number(tick), size) / 2.0);
            scene.line(vec![[x, bottom], [x, bottom + 4.0]], BLACK, 1.0);
            if x - half > free_from {
                scene.text([x, bottom + 6.0 + size / 2.0], number(tick), size, Across::Center);
                free_from = x + half + 4.0;
            }
        }
        let mut free_to = f64::MAX;
        for &tick in &self.y.ticks {
            let y = self.y.at(tick);
            scene.line(vec![[left - 4.0, y], [left, y]], BLACK, 1.0);
            if y + size / 2.0 < free_to {
                scene.text([left - 7.0, y], number(tick), size, Across::Right);
                free_to = y - size / 2.0 - 1.0;
            }
        }
        let line = scene.canvas.line();
        scene.text([(left + right) / 2.0, bottom + 8.0 + 1.5 * line], &*self.x.title, size, Across::Center);
        if !self.y.title.is_empty() {
            let x = left - 12.0 - self.y.label_width(size) - size / 2.0;
            scene.turned_text([x, (top + bottom) / 2.0], &*self.y.title, size);
        }
    }

    /// Below the bottom, what [`Frame::draw`] needs.
    pub fn room_below(line: f64) -> f64 {
        (2.5 * line + 10.0).ceil()
    }
}

/// Pixel least three multiples of a round step.
fn even_ticks(least: f64, most: f64) -> Vec<f64> {
    let third = (most - least) / 3.0;
    let power = 10f64.powf(third.log10().floor());
    let step = [5.0, 2.0, 1.0].map(|step| step * power).into_iter().find(|&step| step <= third).unwrap_or(power);
    let (first, last) = ((least / step).ceil() as u64, (most / step).floor() as u64);
    (first..=last).map(|tick| tick as f64 * step).collect()
}

/// Left of the axis, what its labels and title need.
pub fn room_left(size: f64) -> f64 {
    (text_width("100,000", 0.9 * size) + 1.5 * size + 16.0).ceil()
}

/// Without needless decimals, thousands set apart; what is too long for that with a power of ten.
pub fn number(value: f64) -> String {
    match value {
        value if value >= 1e12 => {
            let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
            format!("{rounded:e}")
        }
        value if value >= 1000.0 => crate::units::grouped(value.round() as u64),
        value => ((value * 1e9).round() / 1e9).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_has_two_ticks() {
        for least in [1e-7, 0.0123, 0.9, 1.0, 2.3, 5.6, 6.1, 23.0, 777.0, 6.2e7, 1e15] {
            for ratio in [1.0, 1.001, 1.3, 2.0, 3.9, 100.0, 320.0, 1e5] {
                let axis = ChartAxis::log(least, least * ratio, [0.0, 100.0], "");
                assert!(axis.ticks.len() >= 2, "{least} {ratio}: {:?}", axis.ticks);
                assert!(axis.ticks.iter().all(|tick| (axis.values[0]..=axis.values[1]).contains(tick)), "{axis:?}");
            }
        }
        let labels: Vec<String> = ChartAxis::log(2.4, 2.4, [0.0, 100.0], "").ticks.into_iter().map(number).collect();
        assert_eq!(labels, ["2", "2.2", "2.4", "2.6", "2.8", "3"]);
    }

    #[test]
    fn numbers_are_as_long_as_they_must() {
        let texts = [0.05, 0.1 + 0.2, 20.0, 2e6, 5e23, 3e300].map(number);
        assert_eq!(texts, ["0.05", "0.3", "20", "2,000,000", "5e23", "3e300"]);
    }
}
