/** Undo and redo over immutable states; edits of one field in quick succession are one step. */
export class History {
  #past = [];
  #future = [];
  #key = null;
  #at = 0;

  constructor(state) {
    this.state = state;
  }

  /** `key` names the field that is being typed in; null is a step of its own. */
  push(state, key = null, now = Date.now()) {
    const sameStep = key !== null && key === this.#key && now - this.#at < 1500;
    if (!sameStep) this.#past.push(this.state);
    if (this.#past.length > 200) this.#past.shift();
    this.#future = [];
    this.#key = key;
    this.#at = now;
    this.state = state;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    return this.#step(this.#past, this.#future);
  }

  redo() {
    return this.#step(this.#future, this.#past);
  }

  #step(from, to) {
    if (from.length === 0) return false;
    to.push(this.state);
    this.state = from.pop();
    this.#key = null;
    return true;
  }
}
