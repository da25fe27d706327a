import ArgumentParser
package import EventModel

/// A codec by its name: `none`, `lz4` or `zstd`.
package struct CodecName: Hashable, ParsedArgument {
  package let codec: CompressionCodec

  package static let allValueStrings = CompressionCodec.allCases.map { "\($0)" }

  package init(parsing text: String) throws(BadArgument) {
    guard let codec = CompressionCodec.allCases.first(where: { "\($0)" == text }) else {
      throw BadArgument("'\(text)' is no codec; use none, lz4 or zstd")
    }
    self.codec = codec
  }
}

/// A durability by its name: `durable`, `written` or `buffered`.
package struct DurabilityName: Hashable, ParsedArgument {
  package let durability: Durability

  package static let allValueStrings = Durability.allCases.map { "\($0)" }

  package init(parsing text: String) throws(BadArgument) {
    guard let durability = Durability.allCases.first(where: { "\($0)" == text }) else {
      throw BadArgument("'\(text)' is no durability; use durable, written or buffered")
    }
    self.durability = durability
  }
}

extension JSONPointer: ParsedArgument {
  package init(parsing text: String) throws(BadArgument) { try self.init(text) }

  package init?(argument: String) {
    do {
      try self.init(argument)
    } catch {
      return nil
    }
  }
}
