//! Puts layers one behind the other, and goes back to earlier ones for branches.

use crate::model::draft::{Draft, Imported};
use crate::model::kind::{Activation, AvgPool, BatchNorm, Conv, Dropout, Fc, MaxPool, Pair};
use crate::model::{Kind, Source};

/// The error is a sentence.
pub type Built<T> = Result<T, String>;

/// A network under construction. Each layer reads the one before.
pub struct Builder {
    draft: Draft,
    /// The layer that the next one reads.
    pub last: Source,
    /// Added to the variance of batch norms.
    pub eps: f32,
}

impl Builder {
    pub fn new(input: [usize; 3]) -> Builder {
        Builder { draft: Draft::new(input), last: Source::Image, eps: 1e-5 }
    }

    /// Ends in a loss over the last layer's values.
    pub fn finish(self, input: [usize; 3]) -> Built<Imported> {
        let layers = self.draft.finish(self.last)?;
        Ok(Imported { input, layers, notes: Vec::new() })
    }

    /// Channels of the last layer.
    pub fn channels(&self) -> usize {
        self.draft.shape(self.last).c
    }

    pub fn layer(&mut self, name: &str, kind: Kind) -> Built<()> {
        self.join(name, kind, vec![self.last])
    }

    /// A layer of several inputs.
    pub fn join(&mut self, name: &str, kind: Kind, inputs: Vec<Source>) -> Built<()> {
        self.last = self.draft.push(name, kind, inputs)?;
        Ok(())
    }

    /// A convolution with a square filter.
    pub fn conv(&mut self, name: &str, channels: usize, [kernel, stride, pad]: [usize; 3], bias: bool) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        self.layer(
            name,
            Kind::Conv(Conv { channels, kernel, stride, pad: pad.into(), dilation: Pair::square(1), groups: 1, bias }),
        )
    }

    /// A convolution of each channel by itself, without a bias.
    pub fn depthwise_conv(&mut self, name: &str, [kernel, stride, pad]: [usize; 3]) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        let channels = self.channels();
        let (pad, dilation) = (pad.into(), Pair::square(1));
        self.layer(name, Kind::Conv(Conv { channels, kernel, stride, pad, dilation, groups: channels, bias: false }))
    }

    pub fn batch_norm(&mut self, name: &str) -> Built<()> {
        self.layer(name, Kind::BatchNorm(BatchNorm { eps: self.eps, momentum: 0.1 }))
    }

    pub fn relu(&mut self, name: &str) -> Built<()> {
        self.layer(name, Kind::Activation(Activation::Relu))
    }

    pub fn max_pool(&mut self, name: &str, [kernel, stride, pad]: [usize; 3], ceil: bool) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        self.layer(name, Kind::MaxPool(MaxPool { kernel, stride: Some(stride), pad: pad.into(), ceil }))
    }

    /// Means of windows, which count the padding.
    pub fn average_pool(&mut self, name: &str, [kernel, stride, pad]: [usize; 3]) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        let pad = pad.into();
        self.layer(name, Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil: false, count_include_pad: true }))
    }

    /// As many means as `side` by `side`, at every size of the image.
    pub fn adaptive_pool(&mut self, name: &str, side: usize) -> Built<()> {
        self.layer(name, Kind::AvgPool(AvgPool::Adaptive { output: Pair::square(side) }))
    }

    pub fn dropout(&mut self, name: &str, p: f32) -> Built<()> {
        self.layer(name, Kind::Dropout(Dropout { p }))
    }

    pub fn fc(&mut self, name: &str, outputs: usize) -> Built<()> {
        self.layer(name, Kind::Fc(Fc { outputs, bias: true }))
    }
}
