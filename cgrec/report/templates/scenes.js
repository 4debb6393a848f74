"use strict";
// Draws every scene with 3Dmol; where a browser cannot, the picture stays.
(function () {
  const scenes = JSON.parse(document.getElementById("scenes").textContent);
  const canvas = document.createElement("canvas");
  if (!window.$3Dmol || !(canvas.getContext("webgl2") || canvas.getContext("webgl"))) return;
  const number = (colour) => parseInt(colour.slice(1), 16);
  const byResidue = document.getElementById("by-residue");

  function atoms(scene) {
    const bonded = scene.positions.map(() => []);
    for (const [i, j] of scene.bonds) { bonded[i].push(j); bonded[j].push(i); }
    // added as atoms, not read from a file: every hydrogen stays, and bonds are those of the run
    return scene.positions.map(([x, y, z], k) => ({
      x, y, z, elem: "X", serial: k, index: k, atom: scene.labels[k], resi: 1, resn: "UNK",
      bonds: bonded[k], bondOrder: bonded[k].map(() => 1), hetflag: false,
      properties: { kind: scene.kind[k] },
    }));
  }

  function style(viewer, scene, residues) {
    const colour = (k) => number(residues ? scene.residue[k] : scene.kinds[scene.kind[k]].colour);
    scene.kinds.forEach((kind, k) => viewer.setStyle({ properties: { kind: k } }, {
      sphere: { radius: kind.radius, colorfunc: (atom) => colour(atom.index) },
      stick: { radius: scene.stick, colorfunc: (atom) => colour(atom.index) },
    }));
    viewer.render();
  }

  function draw(scene, place) {
    const viewer = $3Dmol.createViewer(place, { backgroundColor: "white", disableFog: true });
    viewer.addModel().addAtoms(atoms(scene));
    for (const [a, b] of scene.box) {
      viewer.addLine({
        start: { x: a[0], y: a[1], z: a[2] }, end: { x: b[0], y: b[1], z: b[2] }, color: "#9aa5b1",
      });
    }
    viewer.setHoverable({}, true,
      (atom, view) => { place.title = atom.atom; },
      () => { place.title = ""; });
    style(viewer, scene, false);
    viewer.zoomTo();
    if (scene.box.length) viewer.rotate(20, "y");
    viewer.render();
    return viewer;
  }

  try {
    const places = Array.from(document.querySelectorAll(".scene .view"));
    const viewers = scenes.map((scene, k) => draw(scene, places[k]));
    document.querySelector(".scenes").hidden = false;
    document.querySelector(".drawn").hidden = true;
    viewers.forEach((viewer) => {
      viewer.resize();
      viewer.zoomTo();
      viewer.zoom(0.85);
      viewer.render();
    });
    window.addEventListener("resize", () => viewers.forEach((viewer) => viewer.resize()));
    if (byResidue) {
      byResidue.addEventListener("change", () => scenes.forEach((scene, k) =>
        style(viewers[k], scene, byResidue.checked && scene.residue !== null)));
    }
  } catch (error) {
    document.querySelector(".scenes").hidden = true;
    document.querySelector(".drawn").hidden = false;
    console.error(error);
  }
})();
