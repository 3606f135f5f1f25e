//! Scanning in the order of a list: whoever wants the first few says after each block what may still come, and blocks
//! that lie wholly beyond are not read.

use super::filter::Filter;
use super::footer::Place;
use super::scan::BlockScanner;
use super::zone::{Span, Zone};
use super::{BlockFile, Stored};
use crate::domain::fault::Fault;
use crate::domain::metering::query::EventOrder;
use std::cmp::Reverse;
use std::ops::ControlFlow;

impl BlockFile {
    /// Block by block, those first whose events may come first in the order. `visit` answers, once it has enough, the
    /// last instant that is wanted from now on; the filter remembers it.
    pub(in super::super) fn scan_in_order(
        &self,
        filter: &mut Filter<'_>,
        order: EventOrder,
        visit: &mut dyn FnMut(Stored<'_>) -> Option<i64>,
    ) -> Result<(), Fault> {
        let root = self.footer().events_root;
        let root_bytes = self.read_index(root)?;
        let mut scanner = BlockScanner::default();
        for page in in_order(self.zones(&root_bytes, root.offset)?, order) {
            if !page.may_hold(filter) {
                filter.advance(page.rows);
                continue;
            }
            let page_bytes = self.read_index(Place { offset: page.offset, length: page.length })?;
            for zone in in_order(self.zones(&page_bytes, page.offset)?, order) {
                if zone.may_hold(filter) {
                    let mut last = None;
                    let _ = scanner.scan(self, &zone, filter, &mut |stored| {
                        last = visit(stored);
                        ControlFlow::Continue(())
                    })?;
                    last.into_iter().for_each(|last| filter.end_at(order, last));
                }
                filter.advance(zone.rows);
            }
        }
        Ok(())
    }
}

fn in_order(mut zones: Vec<Zone<'_>>, order: EventOrder) -> Vec<Zone<'_>> {
    sort_by_edge(&mut zones, order, |zone| zone.span(order.by));
    zones
}

/// Those first whose span may hold the first in the order.
pub(in super::super) fn sort_by_edge<T>(all: &mut [T], order: EventOrder, span: impl Fn(&T) -> Span<i64>) {
    if order.descending {
        all.sort_by_key(|one| Reverse(span(one).1));
    } else {
        all.sort_by_key(|one| span(one).0);
    }
}
