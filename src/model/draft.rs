//! A network under construction from a file of another program: layers by name, shapes as they come.

use std::collections::{HashMap, HashSet};

use super::kind::SoftmaxLoss;
use super::{IMAGE, Kind, LONGEST_NAME, Layer, Source, is_name_letter, spelling};
use crate::plan::Shape;
use crate::plan::kinds::rules;

/// More layers than this are refused.
const MOST_LAYERS: usize = 100_000;

/// A network from a file of another program.
pub struct Imported {
    /// Channels, height and width of one image.
    pub input: [usize; 3],
    pub layers: Vec<Layer>,
    /// Notes on what could not be taken over, one sentence each.
    pub notes: Vec<String>,
}

/// A name with only the letters that names may hold, and no more than they may have.
pub fn name(wanted: &str) -> String {
    let letters = wanted.chars().map(|letter| if is_name_letter(letter) { letter } else { '_' });
    letters.take(LONGEST_NAME).collect()
}

/// The layers so far. Each comes after its inputs.
pub struct Draft {
    input: Shape,
    layers: Vec<Layer>,
    shapes: Vec<Shape>,
    losses: Vec<Source>,
    names: HashSet<String>,
    /// The next number for a name that is taken.
    numbers: HashMap<String, usize>,
}

impl Draft {
    /// A network of images of `[channels, height, width]`.
    pub fn new([c, h, w]: [usize; 3]) -> Draft {
        let names = HashSet::from([IMAGE.to_owned(), "all".to_owned()]);
        let input = Shape { n: 1, c, h, w };
        Draft { input, layers: Vec::new(), shapes: Vec::new(), losses: Vec::new(), names, numbers: HashMap::new() }
    }

    /// Shape of one image, or of a layer's output for one.
    pub fn shape(&self, source: Source) -> Shape {
        match source {
            Source::Image => self.input,
            Source::Layer(index) => self.shapes[index],
        }
    }

    /// The layer that a value comes from.
    pub fn layer(&mut self, source: Source) -> Option<&mut Layer> {
        match source {
            Source::Image => None,
            Source::Layer(index) => self.layers.get_mut(index),
        }
    }

    /// Adds a layer. A name that is taken gets a number. Fails, in words, where the layer does not fit its inputs.
    pub fn push(&mut self, name: &str, kind: Kind, inputs: Vec<Source>) -> Result<Source, String> {
        if self.layers.len() == MOST_LAYERS {
            return Err(format!("more than {MOST_LAYERS} layers"));
        }
        if let Some(message) = spelling::out_of_range(&kind) {
            return Err(message);
        }
        let shapes: Vec<Shape> = inputs.iter().map(|&source| self.shape(source)).collect();
        let output = rules(&kind).plan(&shapes).map_err(|misfit| misfit.to_string())?.output;
        if output.checked_elements().is_none() {
            return Err("its output passes 2^48 elements".into());
        }
        let name = self.free_name(name, &kind);
        self.layers.push(Layer { name, kind, inputs, line: None });
        self.shapes.push(output);
        Ok(Source::Layer(self.layers.len() - 1))
    }

    fn free_name(&mut self, wanted: &str, kind: &Kind) -> String {
        let name = name(if wanted.is_empty() { kind.name() } else { wanted });
        if self.names.insert(name.clone()) {
            return name;
        }
        let stem: String = name.chars().take(LONGEST_NAME - 8).collect();
        let number = self.numbers.entry(stem.clone()).or_insert(1);
        loop {
            *number += 1;
            let name = format!("{stem}_{number}");
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Adds a softmax_loss over `logits`.
    pub fn loss(&mut self, name: &str, logits: Source, loss_weight: f32) -> Result<(), String> {
        let loss = self.push(name, Kind::SoftmaxLoss(SoftmaxLoss { loss_weight }), vec![logits])?;
        self.losses.push(loss);
        Ok(())
    }

    /// Ends the network in a softmax_loss over `logits`, and drops what its losses do not need.
    pub fn finish(mut self, logits: Source) -> Result<Vec<Layer>, String> {
        self.loss("loss", logits, 1.0)?;
        Ok(self.pruned())
    }

    /// The layers that the losses need.
    pub fn pruned(self) -> Vec<Layer> {
        let mut needed = vec![false; self.layers.len()];
        let mut stack = self.losses;
        while let Some(source) = stack.pop() {
            if let Source::Layer(index) = source
                && !std::mem::replace(&mut needed[index], true)
            {
                stack.extend(&self.layers[index].inputs);
            }
        }
        let places: Vec<usize> =
            needed.iter().scan(0, |next, &needed| Some(std::mem::replace(next, *next + usize::from(needed)))).collect();
        let kept = self.layers.into_iter().zip(needed).filter(|(_, needed)| *needed);
        kept.map(|(mut layer, _)| {
            for input in &mut layer.inputs {
                if let Source::Layer(index) = input {
                    *index = places[*index];
                }
            }
            layer
        })
        .collect()
    }
}
