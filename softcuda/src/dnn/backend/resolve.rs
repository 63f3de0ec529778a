//! What a finalized backend descriptor stands for.

use super::super::algorithm::Direction;
use super::super::convolution::{Convolution, Problem};
use super::super::descriptor::element;
use super::super::tensor::Tensor;
use super::super::{Blend, Result, refuse};
use super::engine::{Config, configs};
use super::{Backend, Values, resolved};
use cudarc::cudnn::sys::cudnnDataType_t::{self, *};
use cudarc::cudnn::sys::cudnnStatus_t::*;
use std::ffi::{c_int, c_void};

/// A convolution with its tensors.
#[derive(Clone)]
pub struct Operation {
    pub direction: Direction,
    pub problem: Problem,
    pub blend: Blend,
    /// Unique ids of x, w and y.
    pub ids: [i64; 3],
}

/// Addresses for a plan.
#[derive(Clone)]
pub struct Pack {
    pub ids: Vec<i64>,
    pub addresses: Vec<u64>,
    pub workspace: u64,
}

/// An object behind a descriptor.
#[derive(Clone)]
pub enum Resolved {
    Tensor(i64, Tensor),
    Convolution(Convolution),
    Operation(Box<Operation>),
    Graph(Box<Operation>),
    Heuristics(Vec<Config>),
    Config(Config),
    Engine(Config),
    Knob((i32, i64)),
    Plan(Config),
    Pack(Pack),
}

/// Kinds that are modelled (cudnnBackendDescriptorType_t).
pub fn is_known(kind: c_int) -> bool {
    matches!(kind, 1..=5 | 7 | 10..=12 | 15..=17)
}

/// Checks a descriptor's attributes.
pub fn resolve(of: &Backend) -> Result<Resolved> {
    match of.kind {
        17 => tensor(of),
        1 => convolution(of),
        10 => operation(of, Direction::Forward, [700, 701, 702, 704, 703, 705]),
        11 => operation(of, Direction::BackwardFilter, [712, 713, 714, 716, 715, 717]),
        12 => operation(of, Direction::BackwardData, [706, 707, 708, 710, 709, 711]),
        15 => match of.object(801)? {
            Resolved::Operation(operation) => Ok(Resolved::Graph(operation)),
            _ => refuse(CUDNN_STATUS_BAD_PARAM, "a graph of something else than an operation"),
        },
        4 => match of.object(201)? {
            Resolved::Graph(operation) => Ok(Resolved::Heuristics(configs(&operation, of.number(200)?))),
            _ => refuse(CUDNN_STATUS_BAD_PARAM, "heuristics of something else than a graph"),
        },
        5 => match of.object(401)? {
            Resolved::Config(config) => {
                of.words(400)?;
                Ok(Resolved::Plan(config))
            }
            _ => refuse(CUDNN_STATUS_BAD_PARAM, "a plan of something else than an engine configuration"),
        },
        16 => {
            let workspace = of.words(1003)?.first().copied().unwrap_or(0);
            Ok(Resolved::Pack(Pack { ids: of.numbers(1000)?, addresses: of.words(1001)?, workspace }))
        }
        kind => refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("descriptors of kind {kind} are given by others")),
    }
}

impl Backend {
    fn value(&self, attribute: c_int) -> Result<&Values> {
        let missing = || refuse(CUDNN_STATUS_BAD_PARAM, format!("attribute {attribute} was never set"));
        self.attributes.get(&attribute).map_or_else(missing, Ok)
    }

    fn numbers(&self, attribute: c_int) -> Result<Vec<i64>> {
        match self.value(attribute)? {
            Values::Numbers(numbers) => Ok(numbers.clone()),
            other => refuse(CUDNN_STATUS_BAD_PARAM, format!("attribute {attribute} is {other:?}")),
        }
    }

    fn number(&self, attribute: c_int) -> Result<i64> {
        Ok(self.numbers(attribute)?[0])
    }

    fn words(&self, attribute: c_int) -> Result<Vec<u64>> {
        match self.value(attribute)? {
            Values::Words(words) => Ok(words.clone()),
            other => refuse(CUDNN_STATUS_BAD_PARAM, format!("attribute {attribute} is {other:?}")),
        }
    }

    fn float(&self, attribute: c_int) -> Result<f32> {
        match self.value(attribute)? {
            Values::Float(value) => Ok(*value),
            other => refuse(CUDNN_STATUS_BAD_PARAM, format!("attribute {attribute} is {other:?}")),
        }
    }

    fn object(&self, attribute: c_int) -> Result<Resolved> {
        resolved(self.words(attribute)?[0] as *mut c_void)
    }

    /// As many sizes as a convolution's or a tensor's attribute has.
    fn sizes<const N: usize>(&self, attribute: c_int, least: i64) -> Result<[usize; N]> {
        let numbers = self.numbers(attribute)?;
        match <[i64; N]>::try_from(numbers) {
            Ok(numbers) if numbers.iter().all(|&number| number >= least) => Ok(numbers.map(|number| number as usize)),
            _ => Err(CUDNN_STATUS_BAD_PARAM),
        }
    }

    fn data_type(&self, attribute: c_int) -> Result<cudnnDataType_t> {
        match self.number(attribute)? {
            0 => Ok(CUDNN_DATA_FLOAT),
            2 => Ok(CUDNN_DATA_HALF),
            9 => Ok(CUDNN_DATA_BFLOAT16),
            number => refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("data type {number} is not modelled")),
        }
    }
}

fn tensor(of: &Backend) -> Result<Resolved> {
    let (dims, strides) = (of.sizes(902, 1)?, of.sizes(903, 1)?);
    of.number(900)?;
    Ok(Resolved::Tensor(of.number(906)?, Tensor { element: element(of.data_type(901)?)?, dims, strides }))
}

fn convolution(of: &Backend) -> Result<Resolved> {
    let (before, after) = (of.sizes::<2>(105, 0)?, of.sizes::<2>(104, 0)?);
    if of.number(106)? != 2 || before != after {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only two dimensions, padded alike on both sides, are modelled");
    }
    let compute = element(of.data_type(100)?)?;
    let cross_correlation = of.number(101)? == 1;
    Ok(Resolved::Convolution(Convolution::planned(
        before,
        of.sizes(103, 1)?,
        of.sizes(102, 1)?,
        cross_correlation,
        compute,
    )))
}

fn operation(of: &Backend, direction: Direction, names: [c_int; 6]) -> Result<Resolved> {
    let [alpha, beta, windows, x, w, y] = names;
    let blend = Blend { alpha: of.float(alpha)?, beta: of.float(beta)? };
    let (
        Resolved::Convolution(convolution),
        Resolved::Tensor(x_id, x),
        Resolved::Tensor(w_id, w),
        Resolved::Tensor(y_id, y),
    ) = (of.object(windows)?, of.object(x)?, of.object(w)?, of.object(y)?)
    else {
        return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution that lacks its descriptor or a tensor");
    };
    let problem = Problem::planned(convolution, x, w, y)?;
    Ok(Resolved::Operation(Box::new(Operation { direction, problem, blend, ids: [x_id, w_id, y_id] })))
}
