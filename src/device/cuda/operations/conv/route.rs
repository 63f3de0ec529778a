//! The routes that a phase of a convolution may take: on the session's own tensors, or on copies of them in scratch behind the algorithm's
//! workspace, made and brought back within the phase's own row.

use super::form::ConvAddresses;
use super::planar::Planar;
use super::widened::Widened;
use super::{ALIGNMENT, ConvOp};
use crate::device::cuda::driver::{Buffer, CallError, Handles};
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Phase};

/// The tensors that cuDNN computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The session's own.
    Own,
    /// Turned over, from NHWC to NCHW.
    Planar,
    /// With so many channels in place of an image's.
    Widened(usize),
}

impl Route {
    /// NCHW, or the session's own.
    pub fn planar_if(planar: bool) -> Route {
        if planar { Route::Planar } else { Route::Own }
    }

    /// The end of an algorithm's name.
    pub fn suffix(self) -> String {
        match self {
            Route::Own => String::new(),
            Route::Planar => " by way of NCHW".into(),
            Route::Widened(channels) => format!(" with {channels} channels"),
        }
    }

    /// Tells if what a phase adds to is added to by cuDNN, not on the way back.
    pub fn is_added_by_cudnn(self, phase: Phase) -> bool {
        match self {
            Route::Own | Route::Planar => true,
            // The output alone stays where it is.
            Route::Widened(_) => phase == Phase::Forward,
        }
    }
}

/// The places of a phase's tensors: the session's own, and those that cuDNN computes on.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The session's.
    pub own: ConvAddresses,
    /// cuDNN's.
    pub computed: ConvAddresses,
}

impl ConvOp {
    /// All routes, the session's own first.
    pub fn routes(&self) -> Vec<Route> {
        let planar = self.planar.iter().map(|_| Route::Planar);
        let widened = self.widened.iter().map(|widened| Route::Widened(widened.geometry.c));
        [Route::Own].into_iter().chain(planar).chain(widened).collect()
    }

    fn widened(&self, channels: usize) -> Option<&Widened> {
        self.widened.iter().find(|widened| widened.geometry.c == channels)
    }

    /// Sizes and layout on a route, for a session's layout.
    pub fn seen_on(&self, route: Route, layout: Layout) -> (ConvGeometry, Layout) {
        match route {
            Route::Own => (self.geometry, layout),
            Route::Planar => (self.geometry, Layout::Nchw),
            Route::Widened(channels) => {
                (self.widened(channels).map_or(self.geometry, |widened| widened.geometry), layout)
            }
        }
    }

    /// Scratch of a route besides its algorithm's workspace.
    pub fn around_bytes(&self, route: Route) -> usize {
        match route {
            Route::Own => 0,
            Route::Planar => self.planar.as_ref().map_or(0, Planar::bytes),
            Route::Widened(channels) => self.widened(channels).map_or(0, Widened::bytes),
        }
    }

    /// Scratch of a workspace, with what goes around it.
    pub fn scratch_for(&self, workspace_bytes: usize, route: Route) -> usize {
        match self.around_bytes(route) {
            0 => workspace_bytes,
            around => workspace_bytes.next_multiple_of(ALIGNMENT) + around,
        }
    }

    /// The tensors on a route, whose scratch has a workspace at its start.
    pub fn ends(&self, route: Route, workspace_bytes: usize, own: ConvAddresses, space: &Buffer) -> Ends {
        let start = || space.at(workspace_bytes.next_multiple_of(ALIGNMENT));
        let computed = match (route, &self.planar) {
            (Route::Planar, Some(planar)) => planar.addresses(start()),
            (Route::Widened(channels), _) => {
                self.widened(channels).map_or(own, |widened| widened.addresses(start(), own))
            }
            (Route::Own | Route::Planar, _) => own,
        };
        Ends { own, computed }
    }

    /// Brings what a phase reads onto a route.
    pub fn enter(
        &self,
        handles: &Handles,
        route: Route,
        phase: Phase,
        Ends { own, computed }: Ends,
        adds: bool,
    ) -> Result<(), CallError> {
        match (route, &self.planar) {
            (Route::Planar, Some(planar)) => planar.enter(handles, phase, own, computed, adds),
            (Route::Widened(channels), _) => match self.widened(channels) {
                Some(widened) => widened.enter(handles, phase, own, computed),
                None => Ok(()),
            },
            (Route::Own | Route::Planar, _) => Ok(()),
        }
    }

    /// Brings a phase's result back.
    pub fn leave(
        &self,
        handles: &Handles,
        route: Route,
        phase: Phase,
        Ends { own, computed }: Ends,
        adds: bool,
    ) -> Result<(), CallError> {
        match (route, &self.planar) {
            (Route::Planar, Some(planar)) => planar.leave(handles, phase, computed, own),
            (Route::Widened(channels), _) => match self.widened(channels) {
                Some(widened) => widened.leave(handles, phase, computed, own, adds),
                None => Ok(()),
            },
            (Route::Own | Route::Planar, _) => Ok(()),
        }
    }
}
