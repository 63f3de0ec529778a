//! A node of the graph: its attributes with their defaults, and the name of the layer that it becomes.

use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::model::range::Range;
use crate::model::spelling::LARGEST;

/// A node and its place in the graph.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub index: usize,
    pub proto: &'a NodeProto,
}

impl<'a> Node<'a> {
    pub fn operator(self) -> &'a str {
        &self.proto.op_type
    }

    /// The name of input number `index`; `None` where it is left out.
    pub fn input(self, index: usize) -> Option<&'a str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn attribute(self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub fn int(self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    pub fn ints(self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub fn float(self, name: &str) -> Option<f64> {
        self.attribute(name).map(|attribute| f64::from(attribute.f))
    }

    pub fn text(self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
    }

    pub fn tensor(self, name: &str) -> Option<&'a TensorProto> {
        self.attribute(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// A whole number from 1; `None` where the attribute is left out.
    pub fn size(self, name: &str) -> Result<Option<usize>, String> {
        let Some(int) = self.int(name) else { return Ok(None) };
        let range = Range::Whole(1, LARGEST);
        let size = usize::try_from(int).ok().filter(|&size| range.refuses_size(name, size).is_none());
        size.map(Some).ok_or_else(|| range.refusal(&format!("`{name}`"), int))
    }

    /// Whole numbers from `least`; `None` where the attribute is left out.
    fn sizes(self, name: &str, least: u32) -> Result<Option<Vec<usize>>, String> {
        let Some(ints) = self.ints(name) else { return Ok(None) };
        let range = i64::from(least)..=i64::from(LARGEST);
        match ints.iter().all(|size| range.contains(size)) {
            true => Ok(Some(ints.iter().map(|&size| size as usize).collect())),
            false => Err(format!("`{name}` must be whole numbers from {least} to {LARGEST}, not {ints:?}")),
        }
    }

    /// A height and a width; `default` where the attribute is left out.
    pub fn pair(self, name: &str, default: usize) -> Result<[usize; 2], String> {
        match self.sizes(name, 1)?.as_deref() {
            None => Ok([default; 2]),
            Some(&[h, w]) => Ok([h, w]),
            Some(other) => Err(format!("`{name}` {other:?} is not that of an image: two sizes are wanted")),
        }
    }

    /// Rows and columns that an output has more.
    pub fn more(self) -> Result<[usize; 2], String> {
        match self.sizes("output_padding", 0)?.as_deref() {
            None => Ok([0; 2]),
            Some(&[h, w]) => Ok([h, w]),
            Some(other) => Err(format!("`output_padding` {other:?} is not that of an image: two sizes are wanted")),
        }
    }

    /// Top, left, bottom, right.
    pub fn pads(self) -> Result<[usize; 4], String> {
        match self.sizes("pads", 0)?.as_deref() {
            None => Ok([0; 4]),
            Some(&[top, left, bottom, right]) => Ok([top, left, bottom, right]),
            Some(other) => Err(format!("`pads` {other:?} are not those of an image: four sizes are wanted")),
        }
    }

    /// The layer's name: the module that the exporter wrote down, or made from the node's own name.
    pub fn layer_name(self, weight: Option<&str>) -> String {
        weight.and_then(module_of_weight).or_else(|| self.module_of_scopes()).unwrap_or_else(|| self.module_of_path())
    }

    /// PyTorch's `dynamo=True` exporter keeps the modules' names and classes, from the outermost to the operator.
    fn module_of_scopes(self) -> Option<String> {
        let (names, classes) = (self.metadata("pkg.torch.onnx.name_scopes")?, self.classes()?);
        let [.., module, own] = names.as_slice() else { return None };
        let class = classes.len().checked_sub(2).map(|index| classes[index])?;
        let leaf = class.starts_with("torch.nn.modules.") && !class.starts_with("torch.nn.modules.container.");
        let own = own.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
        Some(match (leaf, module.is_empty()) {
            (true, false) => (*module).to_owned(),
            (_, true) => own.to_owned(),
            (false, false) => format!("{module}.{own}"),
        })
    }

    /// The batch norm in training form that `dynamo=True`'s optimizer has folded into this convolution: its module.
    pub fn folded_batch_norm(self) -> Option<String> {
        match self.classes()?.as_slice() {
            [.., class, "aten._native_batch_norm_legit_functional.default"] if class.contains("batchnorm") => {
                self.module_of_scopes()
            }
            _ => None,
        }
    }

    /// Tells if the exporter has folded a batch norm in inference form into this convolution.
    pub fn is_batch_norm_for_inference(self) -> bool {
        let classes = self.classes().unwrap_or_default();
        matches!(classes.as_slice(), [.., class, "aten._native_batch_norm_legit_no_training.default"] if class.contains("batchnorm"))
    }

    fn classes(self) -> Option<Vec<&'a str>> {
        self.metadata("pkg.torch.onnx.class_hierarchy")
    }

    /// A list in Python's notation.
    fn metadata(self, key: &str) -> Option<Vec<&'a str>> {
        let entry = self.proto.metadata_props.iter().find(|entry| entry.key == key)?;
        let items = entry.value.trim_matches(['[', ']']).split(", ");
        Some(items.map(|item| item.trim_matches(['\'', '"'])).collect())
    }

    /// `/layer1/layer1.0/relu/Relu_1`, as PyTorch's TorchScript exporter writes, is `layer1.0.relu`.
    fn module_of_path(self) -> String {
        let path = self.proto.name.trim_start_matches('/');
        let mut parts: Vec<&str> = path.split('/').collect();
        let own = parts.pop().unwrap_or_default();
        let mut module = String::new();
        for part in parts {
            if part.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.')) || module.is_empty() {
                module = part.to_owned();
            } else {
                module = format!("{module}.{part}");
            }
        }
        let leaf = module.rsplit('.').next().is_some_and(|last| self.is_named_for_operator(last));
        match (module.is_empty(), leaf) {
            (true, _) if own.is_empty() => self.operator().to_lowercase(),
            (true, _) => own.to_lowercase(),
            (false, true) => module,
            (false, false) => format!("{module}.{}", self.operator().to_lowercase()),
        }
    }

    /// Tells if a module called so holds this operator alone: a number in a Sequential, or a name of the operator's own.
    fn is_named_for_operator(self, module: &str) -> bool {
        let operator = self.operator().to_lowercase();
        let letters = module.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
        // Operators that modules call as functions.
        let function = ["add", "sub", "mul", "div", "concat", "flatten", "reshape", "transpose", "split", "reducemean"];
        if function.contains(&operator.as_str()) {
            return letters == operator;
        }
        let of_pools = operator.ends_with("pool") && letters.contains("pool");
        letters.is_empty()
            || of_pools
            || letters.starts_with("act")
            || letters.contains(&operator)
            || operator.contains(letters)
    }
}

/// `features.0.weight` is a weight of `features.0`. Names that an exporter made up are of nobody.
fn module_of_weight(weight: &str) -> Option<String> {
    let made_up = weight.starts_with("onnx::") || weight.starts_with("val_");
    let (module, _) = weight.rsplit_once('.')?;
    let module = module.strip_suffix(".parametrizations").unwrap_or(module);
    (!made_up && !module.is_empty()).then(|| module.trim_start_matches("module.").to_owned())
}
