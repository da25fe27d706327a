/// A table for people: columns aligned, two spaces between them.
package struct TextTable: Sendable {
  /// On which side of its column a text stands.
  package enum Alignment: Hashable, Sendable { case left, right }

  private let alignments: [Alignment]
  private var rows: [[String]]

  /// Makes a table with a heading for each column.
  package init(_ columns: [(heading: String, alignment: Alignment)]) {
    alignments = columns.map(\.alignment)
    rows = [columns.map(\.heading)]
  }

  /// Adds a row; one cell for each column.
  package mutating func append(_ cells: [String]) {
    precondition(cells.count == alignments.count, "\(cells.count) cells in \(alignments.count)")
    rows.append(cells)
  }

  /// The lines of the table, each with its line feed; no spaces at the end of a line.
  package var text: String {
    let widths = alignments.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for row in rows {
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        line += column == 0 ? "" : "  "
        line += alignments[column] == .right ? padding + cell : cell + padding
      }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
