//! A scene as SVG text and as a PNG file, through the same lines of code.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::Pos;
use plotters::style::{Color, FontTransform, RGBColor, ShapeStyle, TextStyle};

use super::scene::{Item, Pixel, Scene, Text, Tip};
use super::style::{BLACK, Hatch, Marker, Rgb, WHITE, font};
use crate::report::table::escaped;

/// Half pixels, since the backends know whole numbers only.
const SVG_SCALE: f64 = 2.0;
/// Of a PNG's pixels to the scene's, for sharp displays.
const PNG_SCALE: u32 = 2;
/// Each pixel of a PNG is the mean of so many squared: the bitmap backend draws lines without smoothing.
const SAMPLES: u32 = 2;
/// Between the lines of a hatch.
const SPACING: f64 = 6.0;

/// A document of its own.
pub fn svg(scene: &Scene) -> Result<String> {
    let Scene { canvas, height, .. } = scene;
    let head =
        format!(r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{}" height="{height}""#, canvas.width);
    with_head(scene, &head)
}

/// To stand inside a page, as wide as there is room; it names nothing outside.
pub fn inline_svg(scene: &Scene, class: &str) -> Result<String> {
    with_head(scene, &format!(r#"<svg class="{class}" role="img""#))
}

fn with_head(scene: &Scene, head: &str) -> Result<String> {
    let size = [scene.canvas.width, scene.height].map(|side| (SVG_SCALE * side) as u32);
    let mut text = String::new();
    let mut backend = SVGBackend::with_string(&mut text, (size[0], size[1]));
    paint(&mut backend, scene, SVG_SCALE)?;
    drop(backend);
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let (body, end) = body.rsplit_once("</svg>").unwrap_or((body, ""));
    let tips: String = scene.tips.iter().map(tip).collect();
    let [title, description] = [&scene.title, &scene.description].map(|text| escaped(text));
    let label = format!("{title}. {description}");
    Ok(format!(
        "{head} viewBox=\"0 0 {} {}\" aria-label=\"{label}\">\n<title>{title}</title>\n<desc>{description}</desc>\n{body}<g fill=\"transparent\">\n{tips}</g>\n</svg>{end}",
        size[0], size[1]
    ))
}

/// A rectangle that is not seen and has a title.
fn tip(tip: &Tip) -> String {
    let [left, top, right, bottom] = tip.bounds.map(|side| SVG_SCALE * side);
    format!(
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>\n",
        right - left,
        bottom - top,
        escaped(&tip.text)
    )
}

/// Writes a PNG file, two pixels for one of the scene.
pub fn png(scene: &Scene, path: &Path) -> Result<()> {
    let scale = PNG_SCALE * SAMPLES;
    let size = [scene.canvas.width, scene.height].map(|side| side as u32);
    let [width, height] = size.map(|side| side * scale);
    let mut fine = vec![255; (3 * width * height) as usize];
    paint(&mut BitMapBackend::with_buffer(&mut fine, (width, height)), scene, f64::from(scale))?;
    let [coarse_width, coarse_height] = size.map(|side| side * PNG_SCALE);
    let mut coarse = Vec::with_capacity((3 * coarse_width * coarse_height) as usize);
    for (y, x) in (0..coarse_height).flat_map(|y| (0..coarse_width).map(move |x| (y, x))) {
        for channel in 0..3 {
            let at = |dy: u32, dx: u32| fine[(3 * ((y * SAMPLES + dy) * width + x * SAMPLES + dx) + channel) as usize];
            let sum: u32 = (0..SAMPLES).flat_map(|dy| (0..SAMPLES).map(move |dx| u32::from(at(dy, dx)))).sum();
            coarse.push((sum / (SAMPLES * SAMPLES)) as u8);
        }
    }
    let mut backend = BitMapBackend::new(path, (coarse_width, coarse_height));
    let blit = backend.blit_bitmap((0, 0), (coarse_width, coarse_height), &coarse);
    blit.and_then(|()| backend.present()).map_err(|error| anyhow!("{error}"))
}

fn paint<B: DrawingBackend>(backend: &mut B, scene: &Scene, scale: f64) -> Result<()> {
    let place = |[x, y]: Pixel| ((x * scale).round() as i32, (y * scale).round() as i32);
    let mut brush = Brush { backend, place: &place, scale };
    let corners = vec![[0.0, 0.0], [scene.canvas.width, 0.0], [scene.canvas.width, scene.height], [0.0, scene.height]];
    brush.fill(&corners, WHITE)?;
    for item in &scene.items {
        match item {
            Item::Area { points, fill, hatch } => brush.area(points, *fill, *hatch)?,
            Item::Line { points, color, width, dash } => brush.line(points, *color, *width, *dash)?,
            Item::Mark { at, marker, radius, color } => brush.mark(*at, *marker, *radius, *color)?,
            Item::Text(text) => brush.text(text)?,
        }
    }
    brush.backend.present().map_err(|error| anyhow!("{error}"))
}

struct Brush<'a, B> {
    backend: &'a mut B,
    place: &'a dyn Fn(Pixel) -> (i32, i32),
    scale: f64,
}

impl<B: DrawingBackend> Brush<'_, B> {
    fn fill(&mut self, points: &[Pixel], color: Rgb) -> Result<()> {
        let style = ShapeStyle::from(&rgb(color)).filled();
        let points: Vec<(i32, i32)> = points.iter().map(|&point| (self.place)(point)).collect();
        self.backend.fill_polygon(points, &style).map_err(|error| anyhow!("{error}"))
    }

    fn area(&mut self, points: &[Pixel], fill: Rgb, hatch: Hatch) -> Result<()> {
        self.fill(points, fill)?;
        for line in hatched(points, hatch) {
            self.line(&line, BLACK, 0.5, None)?;
        }
        Ok(())
    }

    fn line(&mut self, points: &[Pixel], color: Rgb, width: f64, dash: Option<[f64; 2]>) -> Result<()> {
        let style = ShapeStyle::from(&rgb(color)).stroke_width((width * self.scale).round().max(1.0) as u32);
        let lines = dash.map_or(vec![points.to_vec()], |dash| dashes(points, dash));
        for line in lines {
            let line: Vec<(i32, i32)> = line.into_iter().map(|point| (self.place)(point)).collect();
            self.backend.draw_path(line, &style).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(())
    }

    fn mark(&mut self, at: Pixel, marker: Marker, radius: f64, color: Rgb) -> Result<()> {
        let around =
            |corners: &[Pixel]| corners.iter().map(|[x, y]| [at[0] + radius * x, at[1] + radius * y]).collect();
        let corners: Vec<Pixel> = match marker {
            Marker::Circle => {
                let corner = |index: u32| f64::from(index) * std::f64::consts::TAU / 24.0;
                around(&(0..24).map(corner).map(|angle| [angle.cos(), angle.sin()]).collect::<Vec<_>>())
            }
            Marker::Square => around(&[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
            Marker::Triangle => around(&[[0.0, -1.2], [1.1, 0.8], [-1.1, 0.8]]),
            Marker::Wedge => around(&[[0.0, 1.2], [1.1, -0.8], [-1.1, -0.8]]),
            Marker::Diamond => around(&[[0.0, -1.3], [1.1, 0.0], [0.0, 1.3], [-1.1, 0.0]]),
            Marker::Cross => {
                let arms: [Vec<Pixel>; 2] = [around(&[[-1.0, -1.0], [1.0, 1.0]]), around(&[[-1.0, 1.0], [1.0, -1.0]])];
                return arms.iter().try_for_each(|arm| self.line(arm, color, 2.0, None));
            }
        };
        self.fill(&corners, color)?;
        // A rim keeps marks apart that lie on one another.
        let closed: Vec<Pixel> = corners.iter().chain(&corners[..1]).copied().collect();
        self.line(&closed, BLACK, 0.5, None)
    }

    fn text(&mut self, text: &Text) -> Result<()> {
        let turn = if text.turned { FontTransform::Rotate270 } else { FontTransform::None };
        let (across, down) = text.across.anchor();
        let style: TextStyle = font(text.size * self.scale).transform(turn).color(&rgb(BLACK));
        let style = style.pos(Pos::new(across, down));
        self.backend.draw_text(&text.text, &style, (self.place)(text.at)).map_err(|error| anyhow!("{error}"))
    }
}

fn rgb(Rgb(red, green, blue): Rgb) -> plotters::style::RGBAColor {
    RGBColor(red, green, blue).mix(1.0)
}

/// The parts of parallel lines that lie inside a polygon.
fn hatched(polygon: &[Pixel], hatch: Hatch) -> Vec<[Pixel; 2]> {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let along = match hatch {
        Hatch::None => return Vec::new(),
        Hatch::Rising => [half, -half],
        Hatch::Falling => [half, half],
        Hatch::Level => [1.0, 0.0],
    };
    let across = [-along[1], along[0]];
    let dot = |[a, b]: Pixel, [c, d]: Pixel| a * c + b * d;
    let offsets: Vec<f64> = polygon.iter().map(|&point| dot(point, across) / SPACING).collect();
    let (first, last) =
        (offsets.iter().copied().fold(f64::MAX, f64::min), offsets.iter().copied().fold(f64::MIN, f64::max));
    let mut lines = Vec::new();
    for index in first.ceil() as i64..=last.floor() as i64 {
        let offset = index as f64;
        let edges = (0..polygon.len()).map(|from| (from, (from + 1) % polygon.len()));
        let crossed = edges.filter(|&(from, to)| (offsets[from] <= offset) != (offsets[to] <= offset));
        let mut crossings: Vec<f64> = crossed
            .map(|(from, to)| {
                let part = (offset - offsets[from]) / (offsets[to] - offsets[from]);
                let [start, end] = [from, to].map(|corner| dot(polygon[corner], along));
                start + part * (end - start)
            })
            .collect();
        crossings.sort_by(f64::total_cmp);
        let point = |distance: f64| [0, 1].map(|axis| distance * along[axis] + offset * SPACING * across[axis]);
        lines.extend(crossings.chunks_exact(2).map(|ends| [point(ends[0]), point(ends[1])]));
    }
    lines
}

/// A line cut into strokes of one length with gaps of the other.
fn dashes(points: &[Pixel], [on, off]: [f64; 2]) -> Vec<Vec<Pixel>> {
    let mut strokes: Vec<Vec<Pixel>> = Vec::new();
    let mut passed = 0.0;
    for pair in points.windows(2) {
        let length = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        let at = |distance: f64| [0, 1].map(|axis| pair[0][axis] + (pair[1][axis] - pair[0][axis]) * distance / length);
        let mut start = -(passed % (on + off));
        while start < length {
            let (from, to) = (start.max(0.0), (start + on).min(length));
            if to > from {
                strokes.push(vec![at(from), at(to)]);
            }
            start += on + off;
        }
        passed += length;
    }
    strokes
}
