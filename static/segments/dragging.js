/** Moving conditions and groups with the mouse: from their grip to between two others, or into a group. */

const MARKS = ["drop-before", "drop-after", "drop-into"];

export class Dragging {
  #body;
  #drop;
  #uid = null;
  #target = null;

  /** `drop(uid, group, index)` is called when something is let go where it can stand. */
  constructor(body, drop) {
    this.#body = body;
    this.#drop = drop;
    body.addEventListener("dragstart", (event) => this.#start(event));
    body.addEventListener("dragover", (event) => this.#over(event));
    body.addEventListener("dragleave", (event) => {
      if (!body.contains(event.relatedTarget)) this.#aim(null);
    });
    body.addEventListener("drop", (event) => this.#end(event));
    body.addEventListener("dragend", () => this.#stop());
  }

  #start(event) {
    const dragged = event.target.closest("[data-grip]")?.closest("[data-uid]");
    if (!dragged) return;
    this.#uid = dragged.dataset.uid;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", this.#uid);
    event.dataTransfer.setDragImage(dragged, 12, 12);
    setTimeout(() => dragged.classList.add("is-dragged")); // after the picture of it is taken
  }

  #over(event) {
    if (!this.#uid) return;
    event.preventDefault();
    this.#aim(this.#targetAt(event));
  }

  /** Where the pointer is: before or after an item of a group, or into a group that has none there. */
  #targetAt(event) {
    const item = event.target.closest(".group-items > li:not(.joint)");
    if (item && !event.target.closest(".adders")) {
      const inner = item.querySelector(":scope > .group");
      const box = item.getBoundingClientRect();
      const after = event.clientY > box.top + box.height / 2;
      const atEdge = Math.min(event.clientY - box.top, box.bottom - event.clientY) < 12;
      if (!inner || atEdge || inner.classList.contains("is-folded")) return this.#beside(item, after);
      return { element: inner, mark: "drop-into", group: inner.dataset.uid, index: childrenOf(inner).length };
    }
    const group = event.target.closest(".group");
    return group && { element: group, mark: "drop-into", group: group.dataset.uid, index: childrenOf(group).length };
  }

  #beside(item, after) {
    const group = item.closest(".group");
    const index = childrenOf(group).indexOf(item) + (after ? 1 : 0);
    return { element: item, mark: after ? "drop-after" : "drop-before", group: group.dataset.uid, index };
  }

  #aim(target) {
    this.#target?.element.classList.remove(...MARKS);
    const own = target?.element.closest(".is-dragged") ?? target?.element.querySelector(":scope > .is-dragged");
    this.#target = own ? null : target;
    this.#target?.element.classList.add(target.mark);
  }

  #end(event) {
    if (!this.#uid) return;
    event.preventDefault();
    const [uid, target] = [this.#uid, this.#target];
    this.#stop();
    if (target) this.#drop(uid, target.group, target.index);
  }

  #stop() {
    this.#aim(null);
    this.#uid = null;
    this.#body.querySelector(".is-dragged")?.classList.remove("is-dragged");
  }
}

const childrenOf = (group) => [...group.querySelectorAll(":scope > .group-items > li:not(.joint)")];
