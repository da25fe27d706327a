import ArgumentParser
package import EventModel

/// A size as an argument: `1000`, `64KiB`, `128MiB`, `10GB`.
package struct ByteSize: Hashable, ParsedArgument {
  package let byteCount: ByteCount

  package init(parsing text: String) throws(BadArgument) {
    guard let (number, unit) = try QuantityText.split(text) else {
      throw BadArgument("'\(text)' is no size; write one as 1000, 64KiB, 128MiB or 10GB")
    }
    let scale: Int
    switch unit.lowercased() {
    case "", "b": scale = 1
    case "kib": scale = 1 << 10
    case "mib": scale = 1 << 20
    case "gib": scale = 1 << 30
    case "tib": scale = 1 << 40
    case "kb": scale = 1_000
    case "mb": scale = 1_000_000
    case "gb": scale = 1_000_000_000
    case "tb": scale = 1_000_000_000_000
    default:
      throw BadArgument(
        "'\(text)' is no size: the units are B, KiB, MiB, GiB, TiB, KB, MB, GB and TB")
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: scale)
    guard !overflow else { throw BadArgument("'\(text)' is too large a size") }
    byteCount = ByteCount(product)
  }
}
