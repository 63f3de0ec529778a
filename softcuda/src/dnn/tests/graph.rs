//! Graphs of one convolution: every engine that is offered gives what the function with enumerated algorithms gives.

use super::convolutions::{ALPHA, BETA, CASES, Problem};
use super::*;
use crate::dnn::algorithm::Direction;
use crate::dnn::backend::{
    cudnnBackendCreateDescriptor, cudnnBackendDestroyDescriptor, cudnnBackendExecute, cudnnBackendFinalize,
    cudnnBackendGetAttribute, cudnnBackendSetAttribute,
};
use cudnnBackendAttributeName_t::*;
use cudnnBackendAttributeType_t::*;
use cudnnBackendDescriptorType_t::*;
use cudnnBackendHeurMode_t::*;
use cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;

/// A backend descriptor, destroyed when dropped.
struct Object(*mut c_void);

impl Object {
    fn new(kind: cudnnBackendDescriptorType_t) -> Object {
        let mut object = null_mut();
        ok!(cudnnBackendCreateDescriptor(kind as i32, &mut object));
        Object(object)
    }

    fn with<T>(self, name: cudnnBackendAttributeName_t, ty: cudnnBackendAttributeType_t, values: &[T]) -> Object {
        let (count, from) = (values.len() as i64, values.as_ptr().cast());
        ok!(cudnnBackendSetAttribute(self.0, name as i32, ty as i32, count, from));
        self
    }

    fn finalized(self) -> Object {
        ok!(cudnnBackendFinalize(self.0));
        self
    }

    /// The first number of an attribute.
    fn number(&self, name: cudnnBackendAttributeName_t) -> i64 {
        let (mut number, mut count) = (0i64, 0);
        let to = (&raw mut number).cast();
        ok!(cudnnBackendGetAttribute(self.0, name as i32, CUDNN_TYPE_INT64 as i32, 1, &mut count, to));
        assert_eq!(count, 1);
        number
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        ok!(cudnnBackendDestroyDescriptor(self.0));
    }
}

/// A tensor's descriptor; its identifier is its place among x, w and y.
fn tensor(of: &Device, id: i64) -> Object {
    let (dims, strides) = (of.tensor.dims.map(|d| d as i64), of.tensor.strides.map(|s| s as i64));
    Object::new(CUDNN_BACKEND_TENSOR_DESCRIPTOR)
        .with(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, &[id])
        .with(
            CUDNN_ATTR_TENSOR_DATA_TYPE,
            CUDNN_TYPE_DATA_TYPE,
            &[crate::dnn::descriptor::data_type(of.tensor.element)],
        )
        .with(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, &dims)
        .with(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, &strides)
        .with(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, &[16i64])
        .finalized()
}

/// The names of an operation's alpha, beta, convolution, x, w and y.
fn names(direction: Direction) -> (cudnnBackendDescriptorType_t, [cudnnBackendAttributeName_t; 6]) {
    match direction {
        Direction::Forward => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            ],
        ),
        Direction::BackwardData => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            ],
        ),
        Direction::BackwardFilter => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            ],
        ),
    }
}

/// A graph of the convolution in one direction.
fn graph(problem: &Problem, direction: Direction) -> Object {
    let case = problem.case;
    let pair = |numbers: [i32; 2]| numbers.map(i64::from);
    let convolution = Object::new(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
        .with(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &[CUDNN_DATA_FLOAT])
        .with(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, &[CUDNN_CROSS_CORRELATION])
        .with(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, &[2i64])
        .with(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, &pair(case.pad))
        .with(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, &pair(case.pad))
        .with(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, &pair(case.stride))
        .with(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, &pair(case.dilation))
        .finalized();
    let tensors = [0, 1, 2].map(|i| tensor(&problem.tensors[i], i as i64));
    let (kind, [alpha, beta, windows, x, w, y]) = names(direction);
    let operation = Object::new(kind)
        .with(alpha, CUDNN_TYPE_FLOAT, &[ALPHA])
        .with(beta, CUDNN_TYPE_FLOAT, &[BETA])
        .with(windows, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[convolution.0])
        .with(x, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[tensors[0].0])
        .with(w, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[tensors[1].0])
        .with(y, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[tensors[2].0])
        .finalized();
    Object::new(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
        .with(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, &[problem.handle])
        .with(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[operation.0])
        .finalized()
}

/// A plan for each engine that a mode of the heuristics offers.
fn plans(problem: &Problem, graph: &Object, mode: cudnnBackendHeurMode_t) -> Vec<Object> {
    let heuristics = Object::new(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
        .with(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[graph.0])
        .with(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, &[mode])
        .finalized();
    let (name, ty) = (CUDNN_ATTR_ENGINEHEUR_RESULTS as i32, CUDNN_TYPE_BACKEND_DESCRIPTOR as i32);
    let mut count = 0;
    ok!(cudnnBackendGetAttribute(heuristics.0, name, ty, 0, &mut count, null_mut()));
    let configs: Vec<Object> = (0..count).map(|_| Object::new(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)).collect();
    let mut list: Vec<*mut c_void> = configs.iter().map(|config| config.0).collect();
    ok!(cudnnBackendGetAttribute(heuristics.0, name, ty, count, &mut count, list.as_mut_ptr().cast()));
    assert_eq!(count as usize, configs.len());
    let plan = |config: &Object| {
        Object::new(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
            .with(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, &[problem.handle])
            .with(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[config.0])
            .finalized()
    };
    configs.iter().map(plan).collect()
}

/// Addresses for a plan: of its tensors by their identifiers, and of its scratch.
fn pack(ids: &[i64], addresses: &[*mut c_void], workspace: *mut c_void) -> Object {
    Object::new(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        .with(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids)
        .with(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, addresses)
        .with(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, &[workspace])
        .finalized()
}

#[test]
fn every_engine_gives_what_the_functions_give() {
    for (element, mode, tolerance) in
        [(Element::F32, CUDNN_HEUR_MODE_FALLBACK, 1e-6), (Element::F16, CUDNN_HEUR_MODE_A, 2e-3)]
    {
        for problem in CASES.iter().map(|case| Problem::new(case, element, false)) {
            for (direction, expected, output) in [
                (Direction::Forward, problem.forward(), 2),
                (Direction::BackwardData, problem.backward_data(), 0),
                (Direction::BackwardFilter, problem.backward_filter(), 1),
            ] {
                let plans = plans(&problem, &graph(&problem, direction), mode);
                assert!(plans.len() >= 2, "{direction:?}: {} engines", plans.len());
                for plan in plans {
                    let out = problem.out(output);
                    let mut addresses = [0, 1, 2].map(|i| problem.tensors[i].p());
                    addresses[output] = out.p();
                    let bytes = plan.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) as usize;
                    let workspace = memory::allocate(bytes.max(1), u64::MAX).expect("memory") as *mut c_void;
                    ok!(cudnnBackendExecute(problem.handle, plan.0, pack(&[0, 1, 2], &addresses, workspace).0));
                    assert_close(&out.read(), &expected.read(), tolerance);
                }
            }
        }
    }
}

#[test]
fn graphs_that_are_not_whole_are_refused() {
    let problem = Problem::new(&CASES[0], Element::F32, false);
    let plan = plans(&problem, &graph(&problem, Direction::Forward), CUDNN_HEUR_MODE_FALLBACK).remove(0);
    let lacking = pack(&[0, 1], &[problem.tensors[0].p(), problem.tensors[1].p()], null_mut());
    // SAFETY: descriptors of this test.
    unsafe {
        assert_eq!(cudnnBackendExecute(problem.handle, plan.0, lacking.0), CUDNN_STATUS_BAD_PARAM);
        assert_eq!(cudnnBackendExecute(problem.handle, lacking.0, plan.0), CUDNN_STATUS_BAD_PARAM);
        let unset = Object::new(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        assert_eq!(cudnnBackendFinalize(unset.0), CUDNN_STATUS_BAD_PARAM);
        let mut object = null_mut();
        let matmul = CUDNN_BACKEND_MATMUL_DESCRIPTOR as i32;
        assert_eq!(cudnnBackendCreateDescriptor(matmul, &mut object), CUDNN_STATUS_NOT_SUPPORTED);
    }
}
