//! Lines of a table of layers: layer by layer, or summed up by block or kind, and the many short ones in one line.

use std::collections::HashMap;

use crate::words::words;

/// The lines that layers are summed up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A line for each layer.
    #[default]
    Layer,
    /// A line for each block of layers, whose names begin alike.
    Block,
    /// A line for each kind.
    Kind,
}

words!(By { Layer = "layer", Block = "block", Kind = "kind" });

/// Tables of up to so many lines are whole.
const WHOLE: usize = 25;
/// Lines of longer ones, when nothing else is asked for.
const LINES: usize = 20;

/// One line: its title, a word on what it holds, and the places of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLine {
    /// A layer's name, a block's or a kind's.
    pub title: String,
    /// A layer's kind; of several the number of layers.
    pub word: String,
    /// Places among the layers.
    pub layers: Vec<usize>,
}

/// The lines of layers with these names and kinds, in the layers' order.
pub fn lines(layers: &[(&str, &str)], by: By) -> Vec<TableLine> {
    let keys: Vec<&str> = match by {
        By::Layer => {
            let line = |(place, &(name, kind)): (usize, &(&str, &str))| TableLine {
                title: name.to_owned(),
                word: kind.to_owned(),
                layers: vec![place],
            };
            return layers.iter().enumerate().map(line).collect();
        }
        By::Block => blocks(&layers.iter().map(|&(name, _)| name).collect::<Vec<_>>()),
        By::Kind => layers.iter().map(|&(_, kind)| kind).collect(),
    };
    gathered(layers, keys)
}

/// A line for all layers with the same key, in the order of the first.
fn gathered(layers: &[(&str, &str)], keys: Vec<&str>) -> Vec<TableLine> {
    let (mut lines, mut places): (Vec<TableLine>, HashMap<&str, usize>) = Default::default();
    for (place, key) in keys.into_iter().enumerate() {
        let line = *places.entry(key).or_insert_with(|| {
            lines.push(TableLine { title: key.to_owned(), word: String::new(), layers: Vec::new() });
            lines.len() - 1
        });
        lines[line].layers.push(place);
    }
    for line in &mut lines {
        line.word = match line.layers.as_slice() {
            [only] => layers[*only].1.to_owned(),
            several => format!("{} layers", several.len()),
        };
    }
    lines
}

/// The number of lines that stay.
pub fn limit(count: usize, top: Option<usize>) -> usize {
    count.min(top.unwrap_or(if count <= WHOLE { count } else { LINES }))
}

/// Keeps the lines with the largest figures, `top` of them, in their order; the rest becomes one line at the end. Without `top`, a
/// table that is not long stays whole.
pub fn shortened(lines: Vec<TableLine>, top: Option<usize>, figure: impl Fn(&TableLine) -> f64) -> Vec<TableLine> {
    let most = limit(lines.len(), top);
    if lines.len() == most {
        return lines;
    }
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| figure(&lines[b]).total_cmp(&figure(&lines[a])).then(a.cmp(&b)));
    let mut kept = vec![false; lines.len()];
    order[..most].iter().for_each(|&place| kept[place] = true);
    let (kept, rest): (Vec<_>, Vec<_>) = lines.into_iter().zip(kept).partition(|(_, kept)| *kept);
    let title = format!("{} {}", rest.len(), if rest.len() == 1 { "other" } else { "others" });
    let layers = rest.into_iter().flat_map(|(line, _)| line.layers).collect();
    let others = TableLine { title, word: String::new(), layers };
    kept.into_iter().map(|(line, _)| line).chain([others]).collect()
}

/// The finest lines of which there are at most so many: layers, blocks, or all layers whose names begin alike. Where even those are more,
/// the longest of them, and a line for the rest.
pub fn at_most(layers: &[(&str, &str)], most: usize, figure: impl Fn(&TableLine) -> f64) -> (By, Vec<TableLine>) {
    let begins = |&(name, _): &(&'_ str, &str)| name.split(['.', '/']).next().unwrap_or(name).len();
    let finest = [By::Layer, By::Block].into_iter().map(|by| (by, lines(layers, by)));
    let coarsest = || {
        let names = layers.iter().map(|layer| &layer.0[..begins(layer)]).collect();
        (By::Block, gathered(layers, names))
    };
    let (by, lines) = finest.into_iter().find(|(_, lines)| lines.len() <= most).unwrap_or_else(coarsest);
    (by, shortened(lines, Some(most), figure))
}

/// The block of each layer: its name up to the first `.` or `/`, and the numbers that follow. Where one block would hold more than
/// half of all layers, its names are told apart by one more part.
fn blocks<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let mut blocks: Vec<&str> = names.iter().map(|name| prefix(name, 1)).collect();
    for parts in 2..4 {
        let mut sizes: HashMap<&str, usize> = HashMap::new();
        blocks.iter().for_each(|block| *sizes.entry(block).or_default() += 1);
        let Some(large) = sizes.iter().find(|(_, size)| 2 * **size > names.len()).map(|(block, _)| *block) else {
            break;
        };
        for (block, name) in blocks.iter_mut().zip(names).filter(|(block, _)| **block == large) {
            *block = prefix(name, parts);
        }
    }
    blocks
}

/// A name's first parts, and the numbers that follow them.
fn prefix(name: &str, parts: usize) -> &str {
    let ends = name.char_indices().filter(|&(_, letter)| matches!(letter, '.' | '/')).map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain([name.len()]).collect();
    let part = |index: usize| &name[if index == 0 { 0 } else { ends[index - 1] + 1 }..ends[index]];
    let mut count = parts.min(ends.len());
    while count < ends.len() && part(count).chars().all(|letter| letter.is_ascii_digit()) {
        count += 1;
    }
    &name[..ends[count - 1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as torchvision's and Caffe's are.
    #[test]
    fn blocks_are_named_as_modules() {
        let of = |name| prefix(name, 1);
        assert_eq!(of("layer1.0.conv1"), "layer1.0");
        assert_eq!(of("Mixed_5b.branch3x3_2.conv"), "Mixed_5b");
        assert_eq!(of("inception_3a/5x5_reduce"), "inception_3a");
        assert_eq!(of("features.1.0.block.0.0"), "features.1.0");
        assert_eq!((of("conv1"), of("")), ("conv1", ""));
        // Nearly all of DenseNet is in `features`.
        let names = ["features.conv0", "features.dense1.layer1", "features.dense1.layer2", "classifier"];
        assert_eq!(blocks(&names), ["features.conv0", "features.dense1", "features.dense1", "classifier"]);
    }

    #[test]
    fn lines_of_blocks_and_kinds() {
        let layers = [("a.conv", "conv"), ("a.relu", "relu"), ("b.conv", "conv"), ("fc", "fc")];
        let of = |by| -> Vec<(String, String, Vec<usize>)> {
            lines(&layers, by).into_iter().map(|line| (line.title, line.word, line.layers)).collect()
        };
        let line = |title: &str, word: &str, layers: &[usize]| (title.into(), word.into(), layers.to_vec());
        assert_eq!(of(By::Block), [line("a", "2 layers", &[0, 1]), line("b", "conv", &[2]), line("fc", "fc", &[3])]);
        assert_eq!(of(By::Kind)[0], line("conv", "2 layers", &[0, 2]));
        assert_eq!(of(By::Layer)[1], line("a.relu", "relu", &[1]));
    }

    /// Six layers in four blocks, which begin in two ways.
    #[test]
    fn as_fine_as_there_is_room() {
        let names = ["a.0.conv", "a.0.relu", "a.1.conv", "a.1.relu", "b.0.conv", "b.1.conv"];
        let layers: Vec<(&str, &str)> = names.iter().map(|name| (*name, "conv")).collect();
        let figure = |line: &TableLine| line.layers.len() as f64;
        let titles = |most| -> (By, Vec<String>) {
            let (by, lines) = at_most(&layers, most, figure);
            (by, lines.into_iter().map(|line| line.title).collect())
        };
        assert_eq!(titles(6), (By::Layer, names.map(String::from).into()));
        assert_eq!(titles(5), (By::Block, ["a.0", "a.1", "b.0", "b.1"].map(String::from).into()));
        assert_eq!(titles(3), (By::Block, ["a", "b"].map(String::from).into()));
        assert_eq!(titles(1), (By::Block, ["a", "1 other"].map(String::from).into()));
    }

    /// 25 lines are whole, of 26 the 20 with the largest figures stay.
    #[test]
    fn the_rest_is_one_line() {
        let names: Vec<String> = (0..26).map(|index| format!("l{index}")).collect();
        let layers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "relu")).collect();
        let figure = |line: &TableLine| line.layers[0] as f64;
        assert_eq!(shortened(lines(&layers[..25], By::Layer), None, figure).len(), 25);
        let short = shortened(lines(&layers, By::Layer), None, figure);
        assert_eq!((short.len(), &*short[0].title, &*short[20].title), (21, "l6", "6 others"));
        assert_eq!(short[20].layers, [0, 1, 2, 3, 4, 5]);
        let one = shortened(lines(&layers, By::Layer), Some(25), figure);
        assert_eq!((&*one[25].title, one.len()), ("1 other", 26));
    }
}
