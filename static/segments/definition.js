/**
 * The tree that the builder edits, and the definition that it stands for.
 *
 * A group is {uid, kind: "group", mode, bare, children}; a condition is {uid, kind: "condition", json}, where
 * `json` is the condition exactly as the definition spells it, so that whatever the builder has no fields for
 * survives. `bare` remembers a spelling without a list (a lone condition, a `not` of one node), as long as it
 * can still be spelled so. Nothing here is changed in place: every edit returns a new tree.
 */

export const MODES = ["all", "any", "none", "not_all"];

let lastUid = 0;
export const newUid = () => `n${(lastUid += 1)}`;

export const group = (mode, children, bare = false) => ({ uid: newUid(), kind: "group", mode, bare, children });
export const condition = (json) => ({ uid: newUid(), kind: "condition", json });

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isList = (node, type) => isObject(node) && node.type === type && Array.isArray(node.of);

/** The tree of a definition; its root is always a group. */
export function fromDefinition(definition) {
  const root = parse(definition);
  return root.kind === "group" ? root : group("all", [root], true);
}

function parse(node) {
  if (isList(node, "all") || isList(node, "any")) return group(node.type, node.of.map(parse));
  if (!isObject(node) || node.type !== "not" || !isObject(node.of)) return condition(node);
  if (isList(node.of, "any")) return group("none", node.of.of.map(parse));
  if (isList(node.of, "all")) return group("not_all", node.of.of.map(parse));
  return group("none", [parse(node.of)], true);
}

/** The definition of a tree. */
export function toDefinition(root) {
  return write(root, "", () => {});
}

/** Where each node stands in the definition: a Map from pointer ("/of/1") to uid. */
export function pathsOf(root) {
  const paths = new Map();
  write(root, "", (path, uid) => paths.set(path, uid));
  return paths;
}

function write(node, path, visit) {
  if (node.kind === "condition") {
    visit(path, node.uid);
    return node.json;
  }
  const bare = node.bare && node.children.length === 1;
  const negated = node.mode === "none" || node.mode === "not_all";
  if (bare && node.mode === "all") {
    const inner = write(node.children[0], path, visit);
    return inner;
  }
  visit(path, node.uid);
  if (bare && node.mode === "none") return { type: "not", of: write(node.children[0], `${path}/of`, visit) };
  const listPath = negated ? `${path}/of` : path;
  visit(listPath, node.uid);
  const type = { all: "all", any: "any", none: "any", not_all: "all" }[node.mode];
  const list = { type, of: node.children.map((child, index) => write(child, `${listPath}/of/${index}`, visit)) };
  return negated ? { type: "not", of: list } : list;
}

/** The node that an error's path means, and what of the path lies inside it. */
export function locate(root, path) {
  const paths = pathsOf(root);
  for (let end = path.length; end >= 0; end = path.lastIndexOf("/", end - 1)) {
    const uid = paths.get(path.slice(0, end));
    if (uid) return { uid, rest: path.slice(end) };
    if (end === 0) break;
  }
  return { uid: root.uid, rest: path };
}

export function find(root, uid) {
  if (root.uid === uid) return root;
  for (const child of root.children ?? []) {
    const found = find(child, uid);
    if (found) return found;
  }
  return null;
}

export function parentOf(root, uid) {
  for (const child of root.children ?? []) {
    if (child.uid === uid) return root;
    const found = parentOf(child, uid);
    if (found) return found;
  }
  return null;
}

export function conditions(node) {
  return node.kind === "condition" ? [node] : node.children.flatMap(conditions);
}

/** The tree with `change(node)` in the place of one node; null there removes it. */
export function replace(root, uid, change) {
  if (root.uid === uid) return change(root);
  if (root.kind !== "group") return root;
  let touched = false;
  const children = root.children.flatMap((child) => {
    const next = replace(child, uid, change);
    touched ||= next !== child;
    return next ?? [];
  });
  return touched ? { ...root, children } : root;
}

export function append(root, groupUid, node) {
  return replace(root, groupUid, (parent) => ({ ...parent, children: [...parent.children, node] }));
}

export const remove = (root, uid) => (root.uid === uid ? root : replace(root, uid, () => null));

function copy(node) {
  const children = node.children?.map(copy);
  return { ...node, uid: newUid(), ...(children && { children }) };
}

/** Returns the new tree and the uid of the copy, which stands right after the original. */
export function duplicate(root, uid) {
  const twin = copy(find(root, uid));
  const parent = parentOf(root, uid);
  const next = replace(root, parent.uid, (node) => ({
    ...node,
    children: node.children.flatMap((child) => (child.uid === uid ? [child, twin] : child)),
  }));
  return [next, twin.uid];
}

/** One step up or down: past a condition, into a group that stands there, out of one at its edge. */
export function move(root, uid, step) {
  const parent = parentOf(root, uid);
  if (!parent) return root;
  const node = find(root, uid);
  const index = parent.children.findIndex((child) => child.uid === uid);
  const neighbour = parent.children[index + step];
  if (!neighbour) return moveOut(root, parent, node, step);
  const rest = parent.children.filter((child) => child.uid !== uid);
  if (neighbour.kind === "group") {
    const list = step < 0 ? [...neighbour.children, node] : [node, ...neighbour.children];
    const children = rest.map((child) => (child.uid === neighbour.uid ? { ...neighbour, children: list } : child));
    return replace(root, parent.uid, () => ({ ...parent, children }));
  }
  rest.splice(index + step, 0, node);
  return replace(root, parent.uid, () => ({ ...parent, children: rest }));
}

function moveOut(root, parent, node, step) {
  const grandparent = parentOf(root, parent.uid);
  if (!grandparent) return root;
  const without = { ...parent, children: parent.children.filter((child) => child.uid !== node.uid) };
  const kept = without.children.length > 0 ? [without] : [];
  const children = grandparent.children.flatMap((child) => {
    if (child.uid !== parent.uid) return [child];
    return step < 0 ? [node, ...kept] : [...kept, node];
  });
  return replace(root, grandparent.uid, () => ({ ...grandparent, children }));
}

/** Whether `move` would change anything. */
export const canMove = (root, uid, step) => move(root, uid, step) !== root;

/** Put a node into a group, before what is `index`th there now; a group that it leaves empty goes. */
export function place(root, uid, groupUid, index) {
  const node = find(root, uid);
  const from = parentOf(root, uid);
  if (!from || find(node, groupUid)) return root;
  const emptied = from.uid !== groupUid && from.children.length === 1 && from !== root ? from : node;
  const after = find(root, groupUid).children.slice(index).filter((child) => child !== node && child !== emptied);
  return replace(remove(root, emptied.uid), groupUid, (group) => {
    const at = after.length ? group.children.findIndex((child) => child.uid === after[0].uid) : group.children.length;
    return { ...group, children: group.children.toSpliced(at, 0, node) };
  });
}

/** How many groups stand around a node, and how deep it is itself. */
export const depthOf = (root, uid) => (root.uid === uid ? 0 : 1 + depthOf(root, parentOf(root, uid).uid));
export const heightOf = (node) => (node.kind === "group" ? 1 + Math.max(0, ...node.children.map(heightOf)) : 0);
