//! The parts of a chart, in pixels from the top left, before it is known whether it becomes SVG or PNG.
//!
//! A chart is a function from rows to a [`Scene`]; nothing here knows rows.

use plotters::style::text_anchor::{HPos, VPos};

use super::style::{self, Hatch, Marker, Rgb};
use crate::units::visible;

/// A place in pixels, from the left and from the top.
pub type Pixel = [f64; 2];

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Area { points: Vec<Pixel>, fill: Rgb, hatch: Hatch },
    Line { points: Vec<Pixel>, color: Rgb, width: f64, dash: Option<[f64; 2]> },
    Mark { at: Pixel, marker: Marker, radius: f64, color: Rgb },
    Text(Text),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub at: Pixel,
    pub text: String,
    pub size: f64,
    pub across: Across,
    /// Reads from bottom to top.
    pub turned: bool,
}

/// A text that an SVG viewer shows while the pointer is within a rectangle.
#[derive(Clone, Debug, PartialEq)]
pub struct Tip {
    /// Left, top, right, bottom.
    pub bounds: [f64; 4],
    /// The values.
    pub text: String,
}

/// The point of a text, half way up, that stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    Left,
    Center,
    Right,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canvas {
    /// Width in pixels.
    pub width: f64,
    /// Size of the usual text in pixels.
    pub font: f64,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The room it was drawn for.
    pub canvas: Canvas,
    /// Height in pixels.
    pub height: f64,
    /// The chart's subject in one line.
    pub title: String,
    /// The same in words, for those who do not see it.
    pub description: String,
    /// The parts, from back to front.
    pub items: Vec<Item>,
    /// Values to show where the pointer is.
    pub tips: Vec<Tip>,
}

impl Canvas {
    /// A page.
    pub const WIDE: Canvas = Canvas { width: 900.0, font: 15.0 };
    /// A phone held upright.
    pub const NARROW: Canvas = Canvas { width: 340.0, font: 12.0 };

    /// Tells if there is room for the least only.
    pub fn is_narrow(self) -> bool {
        self.width < 600.0
    }

    /// From one line of text to the next.
    pub fn line(self) -> f64 {
        (1.4 * self.font).round()
    }
}

impl Scene {
    /// Begins with its title and a line of who and where, broken where they are too long; answers where they end.
    pub fn begin(canvas: Canvas, title: &str, subtitle: &str) -> (Scene, f64) {
        let mut scene = Scene {
            canvas,
            height: 0.0,
            title: title.into(),
            description: String::new(),
            items: Vec::new(),
            tips: Vec::new(),
        };
        let mut y = canvas.line();
        for (text, size) in [(title, 1.15 * canvas.font), (subtitle, canvas.font)] {
            for line in broken(text, size, canvas.width - 16.0) {
                scene.text([8.0, y], line, size, Across::Left);
                y += canvas.line();
            }
        }
        (scene, y)
    }

    /// Adds a polygon.
    pub fn area(&mut self, points: Vec<Pixel>, fill: Rgb, hatch: Hatch) {
        self.items.push(Item::Area { points, fill, hatch });
    }

    /// Adds a rectangle.
    pub fn rectangle(&mut self, [left, top]: Pixel, [right, bottom]: Pixel, fill: Rgb, hatch: Hatch) {
        self.area(vec![[left, top], [right, top], [right, bottom], [left, bottom]], fill, hatch);
    }

    /// Adds a line.
    pub fn line(&mut self, points: Vec<Pixel>, color: Rgb, width: f64) {
        self.items.push(Item::Line { points, color, width, dash: None });
    }

    /// Adds a line of strokes and gaps of these lengths; one without gaps for `None`.
    pub fn dashed(&mut self, points: Vec<Pixel>, color: Rgb, width: f64, dash: Option<[f64; 2]>) {
        self.items.push(Item::Line { points, color, width, dash });
    }

    /// Adds a marker.
    pub fn mark(&mut self, at: Pixel, marker: Marker, radius: f64, color: Rgb) {
        self.items.push(Item::Mark { at, marker, radius, color });
    }

    /// Adds a text that reads from left to right.
    pub fn text(&mut self, at: Pixel, text: impl Into<String>, size: f64, across: Across) {
        let text = visible(&text.into()).into_owned();
        self.items.push(Item::Text(Text { at, text, size, across, turned: false }));
    }

    /// Adds a text that reads from bottom to top.
    pub fn turned_text(&mut self, at: Pixel, text: impl Into<String>, size: f64) {
        let text = visible(&text.into()).into_owned();
        self.items.push(Item::Text(Text { at, text, size, across: Across::Center, turned: true }));
    }

    /// Adds a vertical interval with its ends.
    pub fn whisker(&mut self, x: f64, low: f64, high: f64, color: Rgb) {
        self.line(vec![[x, low], [x, high]], color, 1.5);
        for y in [low, high] {
            self.line(vec![[x - 4.0, y], [x + 4.0, y]], color, 1.5);
        }
    }

    /// Adds values to show between two corners.
    pub fn tip(&mut self, [x, y]: Pixel, [other_x, other_y]: Pixel, text: String) {
        let bounds = [x.min(other_x), y.min(other_y), x.max(other_x), y.max(other_y)];
        self.tips.push(Tip { bounds, text });
    }

    /// All texts.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.items.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text),
            Item::Area { .. } | Item::Line { .. } | Item::Mark { .. } => None,
        })
    }
}

impl Text {
    /// Left, top, right, bottom.
    pub fn bounds(&self) -> [f64; 4] {
        let (width, height) = (style::text_width(&self.text, self.size), self.size);
        let before = match self.across {
            Across::Left => 0.0,
            Across::Center => width / 2.0,
            Across::Right => width,
        };
        let [x, y] = self.at;
        match self.turned {
            false => [x - before, y - height / 2.0, x - before + width, y + height / 2.0],
            true => [x - height / 2.0, y - width / 2.0, x + height / 2.0, y + width / 2.0],
        }
    }

    pub fn overlaps(&self, other: &Text) -> bool {
        overlap(self.bounds(), other.bounds())
    }
}

pub fn overlap(one: [f64; 4], other: [f64; 4]) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

/// Tells if a line goes through a rectangle (Liang and Barsky 1984): the part of it within the sides is within top and bottom too.
pub fn crosses([from, to]: [Pixel; 2], bounds: [f64; 4]) -> bool {
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for axis in [0, 1] {
        let (start, length) = (from[axis], to[axis] - from[axis]);
        let (low, high) = (bounds[axis] - start, bounds[axis + 2] - start);
        if length == 0.0 {
            leave = if low < 0.0 && high > 0.0 { leave } else { -1.0 };
        } else {
            let (one, other) = (low / length, high / length);
            (enter, leave) = (enter.max(one.min(other)), leave.min(one.max(other)));
        }
    }
    enter < leave
}

impl Across {
    pub fn anchor(self) -> (HPos, VPos) {
        let across = match self {
            Across::Left => HPos::Left,
            Across::Center => HPos::Center,
            Across::Right => HPos::Right,
        };
        (across, VPos::Center)
    }
}

/// A text in lines that fit, broken at blanks, and inside a word where that alone is too long.
pub fn broken(text: &str, size: f64, width: f64) -> Vec<String> {
    let fits = |text: &str| style::text_width(text, size) <= width;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if fits(&format!("{line} {word}")) => *line += &format!(" {word}"),
            _ => lines.push(String::new()),
        }
        if lines.last().is_some_and(String::is_empty) {
            for letter in word.chars() {
                match lines.last_mut() {
                    Some(line) if line.is_empty() || fits(&format!("{line}{letter}")) => line.push(letter),
                    _ => lines.push(letter.into()),
                }
            }
        }
    }
    lines
}
