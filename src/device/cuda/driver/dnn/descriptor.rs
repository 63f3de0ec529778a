//! cuDNN's descriptors, destroyed when dropped.

use cudarc::cudnn::sys::{self, cudnnNanPropagation_t, cudnnPoolingMode_t, cudnnTensorFormat_t};

use super::Math;
use crate::device::cuda::driver::call::{CallError, call};
use crate::device::cuda::driver::element::Element;
use crate::device::options::Layout;
use crate::model::kind::{self, Pair};
use crate::plan::{ConvGeometry, Shape};

macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident($raw:ident), $create:ident, $destroy:ident) => {
        $(#[$doc])*
        pub struct $name(sys::$raw);

        // SAFETY: a descriptor is plain memory of cuDNN's; whoever owns it uses it alone.
        unsafe impl Send for $name {}

        impl $name {
            /// One that still says nothing.
            fn blank() -> Result<$name, CallError> {
                let mut raw = std::ptr::null_mut();
                // SAFETY: an out-pointer to a local.
                unsafe { call!(cudnn::$create(&mut raw)) }?;
                Ok($name(raw))
            }

            /// cuDNN's pointer.
            pub(super) fn raw(&self) -> sys::$raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: created in `blank`, destroyed nowhere else. Nothing can be done about a failure.
                let _ = unsafe { call!(cudnn::$destroy(self.0)) };
            }
        }
    };
}

descriptor!(
    /// Activations or their gradients, or a number per channel.
    TensorDescriptor(cudnnTensorDescriptor_t), cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
descriptor!(
    /// A convolution's weights.
    FilterDescriptor(cudnnFilterDescriptor_t),
    cudnnCreateFilterDescriptor,
    cudnnDestroyFilterDescriptor
);
descriptor!(
    /// Strides, padding, groups and arithmetic of a convolution.
    ConvolutionDescriptor(cudnnConvolutionDescriptor_t),
    cudnnCreateConvolutionDescriptor,
    cudnnDestroyConvolutionDescriptor
);
descriptor!(
    /// Windows of a pooling.
    PoolingDescriptor(cudnnPoolingDescriptor_t), cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor);
descriptor!(
    /// Constants of a local response normalisation.
    LrnDescriptor(cudnnLRNDescriptor_t), cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor);
descriptor!(
    /// An activation function.
    ActivationDescriptor(cudnnActivationDescriptor_t), cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor);

fn format(layout: Layout) -> cudnnTensorFormat_t {
    match layout {
        Layout::Nchw => cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
        Layout::Nhwc => cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
    }
}

impl TensorDescriptor {
    /// \[N, C, H, W\] in a layout.
    pub fn new(shape: Shape, element: Element, layout: Layout) -> Result<TensorDescriptor, CallError> {
        let tensor = TensorDescriptor::blank()?;
        let [n, c, h, w] = [shape.n, shape.c, shape.h, shape.w].map(|size| size as i32);
        // SAFETY: a live descriptor and numbers.
        unsafe { call!(cudnn::cudnnSetTensor4dDescriptor(tensor.0, format(layout), element.dnn(), n, c, h, w)) }?;
        Ok(tensor)
    }

    /// A number per channel.
    pub fn channels(channels: usize, element: Element) -> Result<TensorDescriptor, CallError> {
        TensorDescriptor::new(Shape { n: 1, c: channels, h: 1, w: 1 }, element, Layout::Nchw)
    }
}

impl FilterDescriptor {
    /// \[K, C/groups, R, S\] in NCHW, \[K, R, S, C/groups\] in NHWC.
    pub fn new(conv: &ConvGeometry, element: Element, layout: Layout) -> Result<FilterDescriptor, CallError> {
        let filter = FilterDescriptor::blank()?;
        let [k, c, r, s] = [conv.k, conv.group_c(), conv.kernel[0], conv.kernel[1]].map(|size| size as i32);
        // SAFETY: a live descriptor and numbers.
        unsafe { call!(cudnn::cudnnSetFilter4dDescriptor(filter.0, element.dnn(), format(layout), k, c, r, s)) }?;
        Ok(filter)
    }
}

impl ConvolutionDescriptor {
    /// Sums in f32. Padding is equal on opposite sides.
    pub fn new(conv: &ConvGeometry, math: Math) -> Result<ConvolutionDescriptor, CallError> {
        let convolution = ConvolutionDescriptor::blank()?;
        let [pad_h, pad_w] = conv.pad.map(|pad| pad as i32);
        let [stride_h, stride_w] = conv.stride.map(|stride| stride as i32);
        let [dilation_h, dilation_w] = conv.dilation.map(|dilation| dilation as i32);
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let compute = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        // SAFETY: a live descriptor and numbers.
        unsafe {
            call!(cudnn::cudnnSetConvolution2dDescriptor(
                convolution.0,
                pad_h,
                pad_w,
                stride_h,
                stride_w,
                dilation_h,
                dilation_w,
                mode,
                compute
            ))?;
            call!(cudnn::cudnnSetConvolutionGroupCount(convolution.0, conv.groups as i32))?;
        }
        convolution.set_math(math)?;
        Ok(convolution)
    }

    /// Sets the arithmetic that algorithms may use.
    pub fn set_math(&self, math: Math) -> Result<(), CallError> {
        // SAFETY: a live descriptor and a number.
        unsafe { call!(cudnn::cudnnSetConvolutionMathType(self.0, math.0)) }
    }
}

impl PoolingDescriptor {
    /// Maxima over windows whose number is rounded down, with this padding on each side. NaN wins, so that it stays visible.
    pub fn max(pool: &kind::MaxPool, pad: Pair) -> Result<PoolingDescriptor, CallError> {
        let pooling = PoolingDescriptor::blank()?;
        let stride = pool.stride.unwrap_or(pool.kernel);
        let mode = cudnnPoolingMode_t::CUDNN_POOLING_MAX_DETERMINISTIC;
        let nan = cudnnNanPropagation_t::CUDNN_PROPAGATE_NAN;
        let [kh, kw, ph, pw, sh, sw] =
            [pool.kernel.h, pool.kernel.w, pad.h, pad.w, stride.h, stride.w].map(|size| size as i32);
        // SAFETY: a live descriptor and numbers.
        unsafe { call!(cudnn::cudnnSetPooling2dDescriptor(pooling.0, mode, nan, kh, kw, ph, pw, sh, sw)) }?;
        Ok(pooling)
    }
}

impl LrnDescriptor {
    /// Across channels.
    pub fn new(lrn: &kind::Lrn) -> Result<LrnDescriptor, CallError> {
        let descriptor = LrnDescriptor::blank()?;
        let [alpha, beta, k] = [lrn.alpha, lrn.beta, lrn.k].map(f64::from);
        // SAFETY: a live descriptor and numbers.
        unsafe { call!(cudnn::cudnnSetLRNDescriptor(descriptor.0, lrn.size as u32, alpha, beta, k)) }?;
        Ok(descriptor)
    }
}

impl ActivationDescriptor {
    /// max(0, x).
    pub fn relu() -> Result<ActivationDescriptor, CallError> {
        ActivationDescriptor::of(sys::cudnnActivationMode_t::CUDNN_ACTIVATION_RELU)
    }

    /// 1 / (1 + e⁻ˣ).
    pub fn sigmoid() -> Result<ActivationDescriptor, CallError> {
        ActivationDescriptor::of(sys::cudnnActivationMode_t::CUDNN_ACTIVATION_SIGMOID)
    }

    /// Hyperbolic tangent.
    pub fn tanh() -> Result<ActivationDescriptor, CallError> {
        ActivationDescriptor::of(sys::cudnnActivationMode_t::CUDNN_ACTIVATION_TANH)
    }

    /// NaN stays visible.
    fn of(mode: sys::cudnnActivationMode_t) -> Result<ActivationDescriptor, CallError> {
        let activation = ActivationDescriptor::blank()?;
        let nan = cudnnNanPropagation_t::CUDNN_PROPAGATE_NAN;
        // SAFETY: a live descriptor and numbers.
        unsafe { call!(cudnn::cudnnSetActivationDescriptor(activation.0, mode, nan, 0.0)) }?;
        Ok(activation)
    }
}
