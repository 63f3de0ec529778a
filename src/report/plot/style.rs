//! Colours, patterns, markers and the font, the same in all charts.
//!
//! The colours are Okabe and Ito's (2008, *Color universal design*), which people with any kind of colour blindness tell
//! apart. What stands side by side also goes from dark to light and has its own pattern or marker, for black and white.

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
const YELLOW: Rgb = Rgb(240, 228, 66);
const PURPLE: Rgb = Rgb(204, 121, 167);
const SKY: Rgb = Rgb(86, 180, 233);

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
        const COLORS: [Rgb; 6] = [BLUE, VERMILLION, GREEN, PURPLE, BLACK, SKY];
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

pub fn of_phase(phase: Phase) -> (Rgb, Hatch) {
    match phase {
        Phase::Forward => (BLUE, Hatch::None),
        Phase::BackwardData => (GREEN, Hatch::Rising),
        Phase::BackwardWeights => (ORANGE, Hatch::Falling),
        Phase::LossScale => (Rgb(199, 199, 199), Hatch::None),
        Phase::WeightUpdate => (YELLOW, Hatch::Level),
    }
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
