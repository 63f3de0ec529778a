//! Colours, patterns, markers and the font, the same in all charts.
//!
//! The colours are Okabe and Ito's (2008, *Color universal design*), which people with any kind of colour blindness tell
//! apart; blue is conv, orange fc and grey other, in every chart. What stands side by side also goes from dark to light and has its own pattern or marker, for black and white.

use std::sync::Once;

use plotters::style::{FontStyle, IntoFont, register_font};

use crate::model::kind::Group;
use crate::plan::Phase;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

pub const BLACK: Rgb = Rgb(0, 0, 0);
pub const WHITE: Rgb = Rgb(255, 255, 255);
/// Lines of the grid.
pub const PALE: Rgb = Rgb(221, 221, 221);
const GREY: Rgb = Rgb(204, 204, 204);
const BLUE: Rgb = Rgb(0, 114, 178);
const VERMILLION: Rgb = Rgb(213, 94, 0);
const GREEN: Rgb = Rgb(0, 158, 115);
const ORANGE: Rgb = Rgb(230, 159, 0);
const PURPLE: Rgb = Rgb(204, 121, 167);
const INDIGO: Rgb = Rgb(90, 60, 170);
const OLIVE: Rgb = Rgb(130, 125, 0);

/// Lines across an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hatch {
    None,
    Rising,
    Falling,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Cross,
}

pub const MARKERS: [Marker; 6] =
    [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Wedge, Marker::Cross];

/// One of several runs in one chart.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    pub color: Rgb,
    pub marker: Marker,
    pub dash: Option<[f64; 2]>,
}

impl Series {
    pub fn of(index: usize) -> Series {
        // Not blue, orange or grey: those are groups.
        const COLORS: [Rgb; 6] = [BLACK, VERMILLION, GREEN, PURPLE, INDIGO, OLIVE];
        const DASHES: [Option<[f64; 2]>; 4] = [None, Some([8.0, 4.0]), Some([2.0, 3.0]), Some([14.0, 4.0])];
        Series {
            color: COLORS[index % COLORS.len()],
            marker: MARKERS[index % MARKERS.len()],
            dash: DASHES[index % DASHES.len()],
        }
    }
}

pub fn of_group(group: Group) -> (Rgb, Hatch) {
    match group {
        Group::Conv => (BLUE, Hatch::None),
        Group::Fc => (ORANGE, Hatch::Rising),
        Group::Other => (GREY, Hatch::Falling),
    }
}

/// Of marks, whose shape says the phase: from dark to light, each with a black rim.
pub fn mark_of_group(group: Group) -> Rgb {
    match group {
        Group::Conv => BLUE,
        Group::Fc => ORANGE,
        Group::Other => Rgb(225, 225, 225),
    }
}

/// A phase of a group: the group's hue, from dark to light by phase, and the phase's pattern.
pub fn of_part(group: Group, phase: Phase) -> (Rgb, Hatch) {
    let Rgb(red, green, blue) = match group {
        Group::Conv => Rgb(0, 84, 140),
        Group::Fc => Rgb(176, 96, 0),
        Group::Other => Rgb(105, 105, 105),
    };
    let (white, hatch) = match phase {
        Phase::Forward => (0.0, Hatch::None),
        Phase::BackwardData => (0.21, Hatch::Rising),
        Phase::BackwardWeights => (0.42, Hatch::Falling),
        Phase::AllReduce => (0.62, Hatch::Rising),
        Phase::LossScale => (0.62, Hatch::None),
        Phase::WeightUpdate => (0.8, Hatch::Level),
    };
    let lighter = |value: u8| (f64::from(value) + (255.0 - f64::from(value)) * white).round() as u8;
    (Rgb(lighter(red), lighter(green), lighter(blue)), hatch)
}

/// Also what an SVG viewer looks for: those without DejaVu have Verdana, of the same widths.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// The embedded font.
pub fn font(size: f64) -> plotters::style::FontDesc<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the embedded font is a font");
    });
    (FAMILY, size).into_font()
}

/// In pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    // Pixel ten times the size, for what comes back is a whole number.
    font(10.0 * size).box_size(text).map_or(0.0, |(width, _)| f64::from(width) / 10.0)
}
