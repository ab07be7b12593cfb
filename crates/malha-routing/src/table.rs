//! The routes of a virtual host, in order of precedence: the first whose condition is met wins.

use crate::request::Head;
use crate::route::Route;

/// Routes, ready to be searched.
#[derive(Debug)]
pub struct RouteTable<P> {
    routes: Vec<Route<P>>,
}

impl<P> RouteTable<P> {
    /// The routes, first things first.
    pub fn new(routes: Vec<Route<P>>) -> Self {
        Self { routes }
    }

    /// The first route that is for `head`.
    pub fn find(&self, head: &Head<'_>) -> Option<&Route<P>> {
        self.routes.iter().find(|route| route.condition.matches(head))
    }

    /// All of them, in order.
    pub fn routes(&self) -> &[Route<P>] {
        &self.routes
    }
}
