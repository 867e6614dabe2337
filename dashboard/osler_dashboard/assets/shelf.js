// What components of one page share: parcels that no viewer has taken yet, and the sign that is chosen.
const shelf = (window.oslerShelf ??= Object.assign(new EventTarget(), { waiting: new Map(), sign: null }));
