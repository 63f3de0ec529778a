//! Names beside marks of a scatter: each where it covers nothing, as near as there is room, with a line to its mark where that is far.

use super::scene::{Across, Pixel, Scene, Text, crosses, overlap};
use super::style::BLACK;

/// Distances from a mark's rim to its name, in pixels.
const DISTANCES: [f64; 10] = [3.0, 9.0, 16.0, 26.0, 38.0, 52.0, 70.0, 95.0, 130.0, 180.0];
/// Directions around a mark.
const DIRECTIONS: u32 = 24;
/// From here on a line joins a name and its mark.
const APART: f64 = 8.0;
/// A line across another mark costs as much as so many pixels.
const ACROSS_MARK: f64 = 30.0;

/// A place for a name.
struct Candidate {
    text: Text,
    /// From the mark's rim, where it is far.
    line: Option<[Pixel; 2]>,
    distance: f64,
}

/// The names that stand, and their lines.
#[derive(Default)]
struct Taken {
    names: Vec<[f64; 4]>,
    lines: Vec<[Pixel; 2]>,
}

/// Writes the names of marks (centre and radius) within the bounds left, top, right, bottom. A name without room is left out: the
/// mark tells it at the pointer.
pub fn place_names(scene: &mut Scene, marks: &[(Pixel, f64)], names: &[&str], bounds: [f64; 4]) {
    let size = 0.8 * scene.canvas.font;
    let of_mark = |index: usize| -> Vec<Candidate> {
        let (at, radius) = marks[index];
        let all = DISTANCES.iter().flat_map(|&distance| (0..DIRECTIONS).map(move |direction| (distance, direction)));
        let candidates =
            all.map(|(distance, direction)| candidate(at, radius, distance, direction, names[index], size));
        let free = |one: &Candidate| {
            let [left, top, right, bottom] = one.text.bounds();
            let inside = left > bounds[0] + 2.0 && top > bounds[1] && right < bounds[2] && bottom < bounds[3] - 2.0;
            inside && !marks.iter().any(|&(mark, radius)| touches(mark, radius + 1.0, one.text.bounds()))
        };
        candidates.filter(free).collect()
    };
    let mut open: Vec<(usize, Vec<Candidate>)> = (0..marks.len()).map(|index| (index, of_mark(index))).collect();
    // Those with the least choice come first.
    open.sort_by_key(|(_, candidates)| candidates.len());
    let mut taken = Taken::default();
    for (index, candidates) in open {
        let cost = |one: &Candidate| {
            let others = marks.iter().enumerate().filter(|&(other, _)| other != index);
            let struck = |line: [Pixel; 2]| others.filter(|&(_, &(at, radius))| passes(line, at, radius)).count();
            one.distance + ACROSS_MARK * one.line.map_or(0, struck) as f64
        };
        let free = candidates.into_iter().filter(|one| taken.leaves(one));
        let Some(best) = free.min_by(|a, b| cost(a).total_cmp(&cost(b))) else { continue };
        taken.names.push(best.text.bounds());
        if let Some(line) = best.line {
            taken.lines.push(line);
            scene.line(line.to_vec(), BLACK, 0.75);
        }
        scene.text(best.text.at, best.text.text, size, best.text.across);
    }
}

fn candidate(at: Pixel, radius: f64, distance: f64, direction: u32, name: &str, size: f64) -> Candidate {
    let angle = std::f64::consts::TAU * f64::from(direction) / f64::from(DIRECTIONS);
    let (right, down) = (angle.cos(), angle.sin());
    let on = |reach: f64| [at[0] + reach * right, at[1] + reach * down];
    let across = match right {
        right if right > 0.3 => Across::Left,
        right if right < -0.3 => Across::Right,
        _ => Across::Center,
    };
    let [x, y] = on(radius + distance);
    // Above and below, the nearest side of the text is at the distance, not its middle.
    let place = [x, y + down * size / 2.0];
    let line = (distance > APART).then(|| [on(radius), on(radius + distance - 1.0)]);
    let text = Text { at: place, text: name.into(), size, across, turned: false };
    Candidate { text, line, distance }
}

impl Taken {
    /// Tells if there is room for a name and its line.
    fn leaves(&self, one: &Candidate) -> bool {
        let [left, top, right, bottom] = one.text.bounds();
        let roomy = [left - 2.0, top - 0.5, right + 2.0, bottom + 0.5];
        let struck = |line: &[Pixel; 2]| {
            self.names.iter().any(|&name| crosses(*line, name)) || self.lines.iter().any(|&other| meet(*line, other))
        };
        !self.names.iter().any(|&name| overlap(name, roomy))
            && !self.lines.iter().any(|&line| crosses(line, roomy))
            && !one.line.as_ref().is_some_and(struck)
    }
}

/// Tells if a circle reaches into a rectangle.
fn touches([x, y]: Pixel, radius: f64, [left, top, right, bottom]: [f64; 4]) -> bool {
    (x - x.clamp(left, right)).hypot(y - y.clamp(top, bottom)) < radius
}

/// Tells if a line goes through a circle.
fn passes([from, to]: [Pixel; 2], [x, y]: Pixel, radius: f64) -> bool {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let part = ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy);
    let part = part.clamp(0.0, 1.0);
    (x - from[0] - part * dx).hypot(y - from[1] - part * dy) < radius
}

/// Tells if two lines cross: the ends of each lie on both sides of the other.
fn meet([a, b]: [Pixel; 2], [c, d]: [Pixel; 2]) -> bool {
    let side = |from: Pixel, to: Pixel, point: Pixel| {
        (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0])
    };
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

#[cfg(test)]
mod tests {
    use super::super::scene::Canvas;
    use super::*;

    /// Ten marks on a line, each over its neighbours: every name stands, and none lies on another or on a mark.
    #[test]
    fn a_crowd_of_marks_is_named() {
        let (mut scene, _) = Scene::begin(Canvas::WIDE, "", "");
        let before = scene.texts().count();
        let marks: Vec<(Pixel, f64)> = (0..10).map(|n| ([300.0 + 12.0 * f64::from(n), 300.0], 20.0)).collect();
        let names: Vec<String> = (0..10).map(|n| format!("network-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        place_names(&mut scene, &marks, &names, [0.0, 0.0, 900.0, 600.0]);
        let texts: Vec<&Text> = scene.texts().skip(before).collect();
        assert_eq!(texts.len(), 10);
        for (index, text) in texts.iter().enumerate() {
            assert!(!texts[..index].iter().any(|other| other.overlaps(text)), "{}", text.text);
            assert!(!marks.iter().any(|&(at, radius)| touches(at, radius, text.bounds())), "{}", text.text);
        }
    }

    /// By hand: a circle of radius 5 at the origin, with lines and rectangles beside it and through it.
    #[test]
    fn circles_lines_and_rectangles() {
        assert!(touches([0.0, 0.0], 5.0, [3.0, 3.0, 9.0, 9.0]) && !touches([0.0, 0.0], 5.0, [4.0, 4.0, 9.0, 9.0]));
        assert!(passes([[-9.0, 4.0], [9.0, 4.0]], [0.0, 0.0], 5.0));
        assert!(
            !passes([[-9.0, 6.0], [9.0, 6.0]], [0.0, 0.0], 5.0) && !passes([[6.0, 0.0], [9.0, 0.0]], [0.0, 0.0], 5.0)
        );
        assert!(meet([[0.0, 0.0], [2.0, 2.0]], [[0.0, 2.0], [2.0, 0.0]]));
        assert!(!meet([[0.0, 0.0], [2.0, 2.0]], [[3.0, 0.0], [5.0, 9.0]]));
    }
}
