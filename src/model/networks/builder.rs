//! Puts layers one behind the other, and goes back to earlier ones for branches.

use crate::model::draft::{Draft, Imported};
use crate::model::kind::{Activation, AvgPool, BatchNorm, Conv, Dropout, Dropped, Fc, LayerNorm, MaxPool, Pair};
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
    /// Share of the new batch in the running statistics of batch norms.
    pub momentum: f32,
}

impl Builder {
    pub fn new(input: [usize; 3]) -> Builder {
        Builder { draft: Draft::new(input), last: Source::Image, eps: 1e-5, momentum: 0.1 }
    }

    /// Ends in a loss over the last layer's values.
    pub fn finish(self, input: [usize; 3]) -> Built<Imported> {
        let layers = self.draft.finish(self.last)?;
        Ok(Imported { input, layers, notes: Vec::new() })
    }

    /// A loss over the last layer's values, beside the one that the network ends in.
    pub fn auxiliary_loss(&mut self, name: &str, loss_weight: f32) -> Built<()> {
        self.draft.loss(name, self.last, loss_weight)
    }

    /// Squeeze and excitation (Hu et al. 2018): channels times a gate that `squeezed` numbers of their means decide.
    pub fn squeeze_excite(&mut self, name: &str, squeezed: usize, functions: [Activation; 2]) -> Built<()> {
        let (before, channels) = (self.last, self.channels());
        self.adaptive_pool(&format!("{name}.avgpool"), 1)?;
        self.conv(&format!("{name}.fc1"), squeezed, [1, 1, 0], true)?;
        self.activation(&format!("{name}.activation"), functions[0])?;
        self.conv(&format!("{name}.fc2"), channels, [1, 1, 0], true)?;
        self.activation(&format!("{name}.scale_activation"), functions[1])?;
        self.join(&format!("{name}.mul"), Kind::Multiply, vec![before, self.last])
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
        self.layer(name, Kind::BatchNorm(BatchNorm { eps: self.eps, momentum: self.momentum }))
    }

    pub fn activation(&mut self, name: &str, function: Activation) -> Built<()> {
        self.layer(name, Kind::Activation(function))
    }

    pub fn relu(&mut self, name: &str) -> Built<()> {
        self.activation(name, Activation::Relu)
    }

    pub fn max_pool(&mut self, name: &str, [kernel, stride, pad]: [usize; 3], ceil: bool) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        let (stride, pad) = ((stride != kernel).then_some(stride), pad.into());
        self.layer(name, Kind::MaxPool(MaxPool { kernel, stride, pad, dilation: Pair::square(1), ceil }))
    }

    /// Means of windows, which count the padding.
    pub fn average_pool(&mut self, name: &str, [kernel, stride, pad]: [usize; 3]) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        let pad = pad.into();
        self.layer(name, Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil: false, count_include_pad: true }))
    }

    /// Means of windows, which leave the padding out.
    pub fn inner_average_pool(&mut self, name: &str, [kernel, stride, pad]: [usize; 3]) -> Built<()> {
        let [kernel, stride, pad] = [kernel, stride, pad].map(Pair::square);
        let pad = pad.into();
        self.layer(name, Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil: false, count_include_pad: false }))
    }

    /// As many means as `side` by `side`, at every size of the image.
    pub fn adaptive_pool(&mut self, name: &str, side: usize) -> Built<()> {
        self.layer(name, Kind::AvgPool(AvgPool::Adaptive { output: Pair::square(side) }))
    }

    pub fn dropout(&mut self, name: &str, p: f32) -> Built<()> {
        self.layer(name, Kind::Dropout(Dropout { p, of: Dropped::Element }))
    }

    /// Leaves whole images of a branch out; nothing for a probability of zero.
    pub fn stochastic_depth(&mut self, name: &str, p: f32) -> Built<()> {
        if p > 0.0 { self.layer(name, Kind::Dropout(Dropout { p, of: Dropped::Image })) } else { Ok(()) }
    }

    pub fn layer_norm(&mut self, name: &str) -> Built<()> {
        self.layer(name, Kind::LayerNorm(LayerNorm { eps: self.eps }))
    }

    pub fn fc(&mut self, name: &str, outputs: usize) -> Built<()> {
        self.layer(name, Kind::Fc(Fc { outputs, bias: true }))
    }
}
