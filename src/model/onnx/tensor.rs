//! Constants of a graph: initializers, and the results of operators on them.

use super::proto::TensorProto;

/// Constants of more elements than this have no numbers.
pub const MOST_NUMBERS: usize = 512;

/// One number of a small constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A known number.
    Known(f64),
    /// The size of the batch, which is free.
    Batch,
}

/// A tensor that does not depend on the image.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstTensor {
    /// Name of the initializer.
    pub name: String,
    /// Sizes.
    pub dims: Vec<usize>,
    /// Its elements, of small ones.
    pub numbers: Option<Vec<Number>>,
    /// The one number that all elements are, where an operator has made them so.
    pub fill: Option<f64>,
}

impl ConstTensor {
    /// A list of numbers.
    pub fn list(numbers: Vec<Number>) -> ConstTensor {
        ConstTensor { name: String::new(), dims: vec![numbers.len()], numbers: Some(numbers), fill: None }
    }

    /// Reads an initializer. Fails where a size is none.
    pub fn read(proto: &TensorProto) -> Result<ConstTensor, String> {
        let dims: Option<Vec<usize>> =
            proto.dims.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size <= 1 << 40)).collect();
        match dims.filter(|dims| is_tensor(dims)) {
            Some(dims) => {
                let elements = dims.iter().product();
                let numbers = if elements > MOST_NUMBERS { None } else { numbers(proto, elements) };
                Ok(ConstTensor { name: proto.name.clone(), dims, numbers, fill: None })
            }
            None => Err(format!("the sizes of `{}` make no tensor", crate::units::quotable(&proto.name))),
        }
    }

    /// The only number.
    pub fn scalar(&self) -> Option<f64> {
        match self.numbers.as_deref()? {
            [Number::Known(number)] => Some(*number),
            _ => None,
        }
    }

    /// The numbers, if all are known.
    pub fn known(&self) -> Option<Vec<f64>> {
        let known = |number: &Number| match *number {
            Number::Known(number) => Some(number),
            Number::Batch => None,
        };
        self.numbers.as_deref()?.iter().map(known).collect()
    }

    /// The one number that all elements are.
    pub fn uniform(&self) -> Option<f64> {
        if self.fill.is_some() {
            return self.fill;
        }
        let numbers = self.known()?;
        let first = *numbers.first()?;
        numbers.iter().all(|&number| number == first).then_some(first)
    }

    /// Elements, where all but one size are 1.
    pub fn vector(&self) -> Option<usize> {
        (self.dims.iter().filter(|&&size| size > 1).count() <= 1).then(|| self.dims.iter().product())
    }
}

/// Tells if sizes are those of a tensor: at most 16 and 2^48 elements, sizes of zero apart, so that no part of them overflows.
pub fn is_tensor(dims: &[usize]) -> bool {
    let elements = dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)));
    dims.len() <= 16 && elements.is_some_and(|elements| elements <= 1 << 48)
}

/// The elements of a tensor whose numbers stand in the file, in the types that describe networks.
fn numbers(proto: &TensorProto, elements: usize) -> Option<Vec<Number>> {
    // TensorProto.DataType: FLOAT, INT32, INT64, BOOL, DOUBLE.
    let raw = &proto.raw_data;
    let numbers: Vec<f64> = match proto.data_type {
        1 => fours(if raw.is_empty() { &proto.float_data } else { raw })
            .map(|b| f64::from(f32::from_le_bytes(b)))
            .collect(),
        6 => fours(raw).map(|bytes| f64::from(i32::from_le_bytes(bytes))).collect(),
        7 if raw.is_empty() => varints(&proto.int64_data),
        7 => eights(raw).map(|bytes| i64::from_le_bytes(bytes) as f64).collect(),
        9 => raw.iter().map(|&byte| f64::from(byte)).collect(),
        11 => eights(raw).map(f64::from_le_bytes).collect(),
        _ => return None,
    };
    (numbers.len() == elements).then(|| numbers.into_iter().map(Number::Known).collect())
}

fn fours(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|chunk| [chunk[0], chunk[1], chunk[2], chunk[3]])
}

fn eights(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> + '_ {
    bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok())
}

/// Packed varints. What is cut off gives fewer numbers than the sizes ask for.
fn varints(mut bytes: &[u8]) -> Vec<f64> {
    let mut numbers = Vec::new();
    while !bytes.is_empty()
        && let Ok(number) = prost::decode_length_delimiter(&mut bytes)
    {
        numbers.push(number as i64 as f64);
    }
    numbers
}
