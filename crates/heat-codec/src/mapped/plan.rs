//! What a mapping's pointers come to: a tree that is walked beside the payload, once.
//!
//! The document is the first *level*; every `each` opens another one, whose elements are the array's items or the
//! object's values. Each scalar that a pointer names has a *slot* in the elements of its level.

use crate::json::DEPTH_MAX;

/// Most slots of one level, and most levels of one mapping.
pub(super) const SLOTS_MAX: usize = 4_096;

/// Level of the whole document.
pub(super) const DOCUMENT: u32 = 0;

/// One node of the tree of pointers.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Where its value is kept.
    pub(super) slot: Option<u32>,
    /// The level of its elements. A node has this or children.
    pub(super) each: Option<u32>,
    children: Vec<Child>,
    /// The children's places by key.
    sorted: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Child {
    key: Box<str>,
    index: Option<u32>,
    node: u32,
}

impl Node {
    /// Nothing of it is wanted but its own scalar.
    pub(super) fn is_leaf(&self) -> bool {
        self.each.is_none() && self.children.is_empty()
    }

    /// The child with this key and the place after it. `hint` is where to look first: the place after the child
    /// before, because devices keep their order.
    #[inline]
    pub(super) fn child(&self, key: &str, hint: usize) -> Option<(u32, usize)> {
        if let Some(child) = self.children.get(hint).filter(|child| *child.key == *key) {
            return Some((child.node, hint + 1));
        }
        let by_key = |at: &u32| (*self.children[*at as usize].key).cmp(key);
        let at = self.sorted[self.sorted.binary_search_by(by_key).ok()?] as usize;
        Some((self.children[at].node, at + 1))
    }

    /// The child for an array's item.
    pub(super) fn item(&self, index: u32) -> Option<u32> {
        self.children.iter().find(|child| child.index == Some(index)).map(|child| child.node)
    }
}

/// The document, or the elements of an `each`.
#[derive(Debug, Clone)]
pub(super) struct Level {
    /// The level around it; its own for the document.
    pub(super) parent: u32,
    /// Where its elements' values begin in the tree.
    pub(super) root: u32,
    /// Slots of an element.
    pub(super) width: u32,
    /// From an element of the parent to the array or object.
    pub(super) pointer: Box<str>,
    /// Slot of that array or object in the parent's elements.
    pub(super) container: u32,
    /// The levels within it, with whether their array or object may be missing.
    pub(super) inner: Vec<(u32, bool)>,
}

/// Where a scalar is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// In a slot.
    Slot(u32),
    /// It is the element's key in its object, or its index in its array.
    Key,
}

/// A scalar, as seen from an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// How many levels further out.
    pub(super) up: u32,
    /// Where there.
    pub(super) at: At,
    /// Pointer from the element there.
    pub(super) pointer: Box<str>,
}

/// The tree with its levels.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) levels: Vec<Level>,
}

impl Plan {
    /// Nothing is wanted yet.
    pub(super) fn new() -> Self {
        let document = Level {
            parent: DOCUMENT,
            root: 0,
            width: 0,
            pointer: "".into(),
            container: 0,
            inner: Vec::new(),
        };
        Self { nodes: vec![Node::default()], levels: vec![document] }
    }

    /// Opens the level of the elements at `pointer` of a level, or finds it.
    pub(super) fn each(&mut self, parent: u32, pointer: &str, optional: bool) -> Result<u32, String> {
        let node = self.node(parent, pointer)?;
        let container = self.slot(parent, node)?;
        if let Some(level) = self.nodes[node as usize].each {
            for (inner, is_optional) in &mut self.levels[parent as usize].inner {
                *is_optional &= optional || *inner != level;
            }
            return Ok(level);
        }
        if !self.nodes[node as usize].children.is_empty() {
            return Err(format!(
                "another pointer goes through {pointer:?}: its elements are read one by one"
            ));
        }
        if self.levels.len() >= SLOTS_MAX {
            return Err(format!("more than {SLOTS_MAX} levels"));
        }
        let level = index(self.levels.len());
        let root = index(self.nodes.len());
        self.nodes.push(Node::default());
        self.nodes[node as usize].each = Some(level);
        self.levels[parent as usize].inner.push((level, optional));
        let pointer = pointer.into();
        self.levels.push(Level { parent, root, width: 0, pointer, container, inner: Vec::new() });
        Ok(level)
    }

    /// The scalar at a pointer, as seen from a level: `/a` in its element, `//a` in the document, `^/a` in the element
    /// around it.
    pub(super) fn source(&mut self, level: u32, text: &str) -> Result<Source, String> {
        let (there, up, pointer) = self.reach(level, text)?;
        let node = self.node(there, pointer)?;
        Ok(Source { up, at: At::Slot(self.slot(there, node)?), pointer: pointer.into() })
    }

    /// The key of a level's element, or with `^` of one around it.
    pub(super) fn key(&self, level: u32, text: &str) -> Result<Source, String> {
        let carets = text.len() - text.trim_start_matches('^').len();
        let (there, up) = self.outwards(level, carets)?;
        if there == DOCUMENT {
            return Err("the document has no key: it is for the elements of an `each`".to_owned());
        }
        Ok(Source { up, at: At::Key, pointer: "".into() })
    }

    fn reach<'t>(&self, level: u32, text: &'t str) -> Result<(u32, u32, &'t str), String> {
        if text.starts_with("//") {
            let mut up = 0;
            let mut there = level;
            while there != DOCUMENT {
                there = self.levels[there as usize].parent;
                up += 1;
            }
            return Ok((DOCUMENT, up, text.strip_prefix('/').unwrap_or(text)));
        }
        let pointer = text.trim_start_matches('^');
        let (there, up) = self.outwards(level, text.len() - pointer.len())?;
        Ok((there, up, pointer))
    }

    fn outwards(&self, level: u32, carets: usize) -> Result<(u32, u32), String> {
        let mut there = level;
        for _ in 0..carets {
            if there == DOCUMENT {
                return Err("^ goes beyond the document: there is no `each` that far out".to_owned());
            }
            there = self.levels[there as usize].parent;
        }
        Ok((there, index(carets)))
    }

    fn slot(&mut self, level: u32, node: u32) -> Result<u32, String> {
        if let Some(slot) = self.nodes[node as usize].slot {
            return Ok(slot);
        }
        let width = &mut self.levels[level as usize].width;
        if *width as usize >= SLOTS_MAX {
            return Err(format!("more than {SLOTS_MAX} pointers of one level"));
        }
        let slot = *width;
        *width += 1;
        self.nodes[node as usize].slot = Some(slot);
        Ok(slot)
    }

    fn node(&mut self, level: u32, pointer: &str) -> Result<u32, String> {
        let mut at = self.levels[level as usize].root;
        for token in tokens(pointer)? {
            if self.nodes[at as usize].each.is_some() {
                return Err(format!("{pointer:?} goes through an `each`: its elements are read one by one"));
            }
            at = self.child(at, &token);
        }
        Ok(at)
    }

    fn child(&mut self, at: u32, key: &str) -> u32 {
        let fresh = index(self.nodes.len());
        let node = &mut self.nodes[at as usize];
        let by_key = |at: &u32| (*node.children[*at as usize].key).cmp(key);
        match node.sorted.binary_search_by(by_key) {
            Ok(found) => node.children[node.sorted[found] as usize].node,
            Err(place) => {
                node.sorted.insert(place, index(node.children.len()));
                let is_index = key == "0" || !key.starts_with(['0', '+']);
                let index = if is_index { key.parse().ok() } else { None };
                node.children.push(Child { key: key.into(), index, node: fresh });
                self.nodes.push(Node::default());
                fresh
            }
        }
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("a mapping has at most a few thousand pointers")
}

/// The tokens of a JSON pointer (RFC 6901).
fn tokens(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer
        .strip_prefix('/')
        .ok_or_else(|| format!("{pointer:?} is not a JSON pointer: it begins with /, // or ^"))?;
    let tokens: Vec<_> = rest.split('/').map(token).collect::<Result<_, _>>()?;
    if tokens.len() > DEPTH_MAX as usize {
        return Err(format!("deeper than {DEPTH_MAX} levels, the bound of a payload"));
    }
    Ok(tokens)
}

fn token(escaped: &str) -> Result<String, String> {
    let mut parts = escaped.split('~');
    let mut token = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (escape, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(format!("{escaped:?}: ~ is written ~0, and / within a key ~1")),
        };
        token.push(escape);
        token.push_str(rest);
    }
    Ok(token)
}
