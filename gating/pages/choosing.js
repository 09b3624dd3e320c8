{
  const rows = [...document.querySelectorAll("tr[data-row]")];
  const shown = document.getElementById("chosen");
  const choose = row => {
    for (const other of rows) other.classList.toggle("chosen", other === row);
    shown.textContent = row.dataset.row;
  };
  for (const row of rows) row.addEventListener("click", () => choose(row));
  const byNumber = [...rows];
  for (const plot of document.querySelectorAll(".js-plotly-plot"))
    plot.on("plotly_click", clicked => {
      const row = byNumber[clicked.points[0].customdata];
      if (row) { choose(row); row.scrollIntoView({block: "nearest"}); }
    });
  document.getElementById("copy").addEventListener("click", () => navigator.clipboard.writeText(shown.textContent));
}
