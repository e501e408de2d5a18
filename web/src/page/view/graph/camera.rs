//! Where the drawing is looked at from. It fits itself to the pane until somebody moves it.

use std::cell::RefCell;
use std::rc::Rc;

use gloo::events::{EventListener, EventListenerOptions};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, ResizeObserver, WheelEvent};
use yew::prelude::*;

use crate::page::px::px;

/// How small and how large things get.
const ZOOM: (f64, f64) = (0.2, 2.5);
/// How far from the edge of the pane something is brought that was beyond it, in pixels.
const EDGE: f64 = 24.0;
/// How far the pointer moves before a press is a drag and no click, in pixels.
const SLOP: f64 = 4.0;

/// A point of the drawing is shown at `k` times itself plus `(x, y)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    x: f64,
    y: f64,
    k: f64,
}

/// What pointers do at the moment.
#[derive(Default)]
struct Hands {
    /// Where each pointer that is down was last.
    pointers: Vec<(i32, (f64, f64))>,
    /// How far the first has come since it went down.
    travelled: f64,
}

/// The camera of a drawing.
#[derive(Clone)]
pub(super) struct Camera {
    node: NodeRef,
    look: UseStateHandle<Look>,
    moved: UseStateHandle<bool>,
    dragging: UseStateHandle<bool>,
    hands: Rc<RefCell<Hands>>,
    size: (f64, f64),
    /// What is on the screen now, also between two renders.
    current: Rc<RefCell<Look>>,
}

/// A camera for a drawing of this size.
#[hook]
pub(super) fn use_camera(width: f64, height: f64) -> Camera {
    let start = Look {
        x: 0.0,
        y: 0.0,
        k: 1.0,
    };
    let camera = Camera {
        node: use_node_ref(),
        look: use_state_eq(|| start),
        moved: use_state_eq(|| false),
        dragging: use_state_eq(|| false),
        hands: use_mut_ref(Hands::default),
        size: (width, height),
        current: use_mut_ref(|| start),
    };
    let pane = use_state_eq(|| (0_i32, 0_i32));
    use_effect_with((*pane, *camera.moved, width.to_bits(), height.to_bits()), {
        let camera = camera.clone();
        move |_| {
            if !*camera.moved {
                camera.set(camera.fitting());
            }
        }
    });
    // The wheel listener lives as long as the pane, so it asks for the camera of the last render.
    let latest = use_mut_ref(|| camera.clone());
    *latest.borrow_mut() = camera.clone();
    use_effect_with((), {
        let node = camera.node.clone();
        move |()| {
            let element = node.cast::<Element>();
            let wheel = element.as_ref().map(|element| {
                let options = EventListenerOptions::enable_prevent_default();
                EventListener::new_with_options(element, "wheel", options, move |event| {
                    if let Some(wheel) = event.dyn_ref::<WheelEvent>() {
                        wheel.prevent_default();
                        latest.borrow().on_wheel(wheel);
                    }
                })
            });
            let measured = node.clone();
            let resized = Closure::<dyn FnMut()>::new(move || {
                if let Some(element) = measured.cast::<Element>() {
                    pane.set((element.client_width(), element.client_height()));
                }
            });
            let observer = ResizeObserver::new(resized.as_ref().unchecked_ref()).ok();
            if let (Some(observer), Some(element)) = (&observer, &element) {
                observer.observe(element);
            }
            move || {
                if let Some(observer) = observer {
                    observer.disconnect();
                }
                drop((wheel, resized));
            }
        }
    });
    camera
}

impl Camera {
    pub(super) fn node(&self) -> NodeRef {
        self.node.clone()
    }

    pub(super) fn transform(&self) -> String {
        let Look { x, y, k } = *self.look;
        // Tenths of a percent are fine enough for a scale.
        format!(
            "translate({} {}) scale(.01) scale({})",
            px(x),
            px(y),
            px(k * 100.0)
        )
    }

    pub(super) fn is_dragging(&self) -> bool {
        *self.dragging
    }

    /// Shows all of it again, and keeps doing so.
    pub(super) fn fit(&self) {
        self.moved.set(false);
        self.set(self.fitting());
    }

    /// Comes closer to the middle of the pane, or goes away from it.
    pub(super) fn zoom(&self, factor: f64) {
        let (width, height) = self.pane();
        self.zoom_at(factor, width / 2.0, height / 2.0);
    }

    /// Moves the drawing so far that a part of it is seen.
    pub(super) fn reveal(&self, part: &Element) {
        let Some(pane) = self.node.cast::<Element>() else {
            return;
        };
        // Whoever presses on it sees it.
        if !self.hands.borrow().pointers.is_empty() {
            return;
        }
        let (pane, part) = (pane.get_bounding_client_rect(), part.get_bounding_client_rect());
        let x = shift(
            part.left() - pane.left(),
            part.right() - pane.left(),
            pane.width(),
        );
        let y = shift(part.top() - pane.top(), part.bottom() - pane.top(), pane.height());
        if x != 0.0 || y != 0.0 {
            self.move_by(x, y);
        }
    }

    fn set(&self, look: Look) {
        *self.current.borrow_mut() = look;
        self.look.set(look);
    }

    fn pane(&self) -> (f64, f64) {
        let element = self.node.cast::<Element>();
        element.map_or((0.0, 0.0), |element| {
            (
                f64::from(element.client_width()),
                f64::from(element.client_height()),
            )
        })
    }

    /// All of the drawing, at its own size where there is room; a little above the middle, where eyes look first.
    fn fitting(&self) -> Look {
        let ((width, height), (pane_width, pane_height)) = (self.size, self.pane());
        if pane_width < 1.0 || pane_height < 1.0 || width < 1.0 || height < 1.0 {
            return Look {
                x: 0.0,
                y: 0.0,
                k: 1.0,
            };
        }
        let k = (pane_width / width).min(pane_height / height).clamp(ZOOM.0, 1.0);
        let x = ((pane_width - width * k) / 2.0).max(0.0);
        let y = ((pane_height - height * k) / 3.0).clamp(0.0, 48.0);
        Look { x, y, k }
    }

    fn zoom_at(&self, factor: f64, x: f64, y: f64) {
        let look = *self.current.borrow();
        let k = (look.k * factor).clamp(ZOOM.0, ZOOM.1);
        let ratio = k / look.k;
        self.moved.set(true);
        self.set(Look {
            x: x - (x - look.x) * ratio,
            y: y - (y - look.y) * ratio,
            k,
        });
    }

    fn move_by(&self, x: f64, y: f64) {
        let look = *self.current.borrow();
        self.moved.set(true);
        self.set(Look {
            x: look.x + x,
            y: look.y + y,
            ..look
        });
    }

    fn on_wheel(&self, wheel: &WheelEvent) {
        let Some(element) = self.node.cast::<Element>() else {
            return;
        };
        let corner = element.get_bounding_client_rect();
        let (x, y) = (
            f64::from(wheel.client_x()) - corner.left(),
            f64::from(wheel.client_y()) - corner.top(),
        );
        // Lines and pages, as some mice report them, in pixels.
        let unit = match wheel.delta_mode() {
            WheelEvent::DOM_DELTA_LINE => 20.0,
            WheelEvent::DOM_DELTA_PAGE => 400.0,
            _ => 1.0,
        };
        if wheel.shift_key() {
            self.move_by(-(wheel.delta_x() + wheel.delta_y()) * unit, 0.0);
        } else {
            // A pinch on a touchpad arrives as a wheel with Ctrl and small steps.
            let pace = if wheel.ctrl_key() { 0.01 } else { 0.002 };
            self.zoom_at((-wheel.delta_y() * unit * pace).clamp(-1.0, 1.0).exp(), x, y);
        }
    }

    pub(super) fn on_down(&self) -> Callback<PointerEvent> {
        let camera = self.clone();
        Callback::from(move |event: PointerEvent| {
            if event.pointer_type() == "mouse" && event.button() != 0 {
                return;
            }
            let mut hands = camera.hands.borrow_mut();
            if hands.pointers.is_empty() {
                hands.travelled = 0.0;
            }
            hands.pointers.retain(|(id, _)| *id != event.pointer_id());
            hands.pointers.push((event.pointer_id(), place(&event)));
        })
    }

    pub(super) fn on_move(&self) -> Callback<PointerEvent> {
        let camera = self.clone();
        Callback::from(move |event: PointerEvent| {
            let mut hands = camera.hands.borrow_mut();
            let other = hands
                .pointers
                .iter()
                .find(|(id, _)| *id != event.pointer_id())
                .map(|(_, place)| *place);
            let Some((_, pointer)) = hands
                .pointers
                .iter_mut()
                .find(|(id, _)| *id == event.pointer_id())
            else {
                return;
            };
            let here = place(&event);
            let last = std::mem::replace(pointer, here);
            hands.travelled += distance(last, here);
            let is_drag = hands.travelled > SLOP;
            drop(hands);
            if !is_drag {
                return;
            }
            if !*camera.dragging {
                camera.dragging.set(true);
                // From here on the drag goes on outside of the pane too. A click would not reach its step any more,
                // which is right for a drag.
                if let Some(element) = camera.node.cast::<Element>() {
                    let _ = element.set_pointer_capture(event.pointer_id());
                }
            }
            match other {
                None => camera.move_by(here.0 - last.0, here.1 - last.1),
                Some(other) => {
                    let Some(corner) = camera
                        .node
                        .cast::<Element>()
                        .map(|element| element.get_bounding_client_rect())
                    else {
                        return;
                    };
                    let before = distance(last, other).max(1.0);
                    let middle = (
                        f64::midpoint(here.0, other.0) - corner.left(),
                        f64::midpoint(here.1, other.1) - corner.top(),
                    );
                    camera.move_by((here.0 - last.0) / 2.0, (here.1 - last.1) / 2.0);
                    camera.zoom_at(distance(here, other) / before, middle.0, middle.1);
                }
            }
        })
    }

    pub(super) fn on_up(&self) -> Callback<PointerEvent> {
        let camera = self.clone();
        Callback::from(move |event: PointerEvent| {
            let mut hands = camera.hands.borrow_mut();
            hands.pointers.retain(|(id, _)| *id != event.pointer_id());
            if hands.pointers.is_empty() {
                camera.dragging.set(false);
            }
        })
    }
}

/// How far something that reaches from `start` to `end` is moved to lie in a pane of that length.
fn shift(start: f64, end: f64, length: f64) -> f64 {
    if start < 0.0 && end <= length {
        EDGE - start
    } else if start >= 0.0 && end > length {
        // What does not fit is seen from its beginning.
        (length - EDGE - end).max(EDGE - start)
    } else {
        0.0
    }
}

fn place(event: &PointerEvent) -> (f64, f64) {
    (f64::from(event.client_x()), f64::from(event.client_y()))
}

fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
    (one.0 - other.0).hypot(one.1 - other.1)
}
