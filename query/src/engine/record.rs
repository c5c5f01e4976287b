//! Functions of whole rows: the row as JSON, and as PostgreSQL writes it.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::{
    arrow::{
        array::{Array as _, AsArray as _, StringBuilder, StructArray},
        datatypes::DataType,
    },
    common::{Result, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use crate::encode::{json_record, postgres};

/// The functions.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [Form::Json, Form::Text].map(|form| Arc::new(ScalarUDF::from(Written::new(form))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Json,
    Text,
}

/// A row as text.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Written {
    form: Form,
    signature: Signature,
}

impl Written {
    fn new(form: Form) -> Self {
        Self {
            form,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn write(&self, rows: &StructArray, index: usize) -> Option<Vec<u8>> {
        match self.form {
            Form::Json => {
                let mut written = Vec::new();
                json_record(&mut written, rows, index);
                Some(written)
            }
            Form::Text => {
                let mut written = BytesMut::new();
                postgres::record(&mut written, rows, index)?;
                Some(written.to_vec())
            }
        }
    }
}

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        match self.form {
            Form::Json => "row_to_json",
            Form::Text => "row_to_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Struct(_)] => Ok(types.to_vec()),
            _ => plan_err!("{} takes a row", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = arrays.first().and_then(|array| array.as_struct_opt());
        let Some(rows) = rows else {
            return exec_err!("{} takes a row", self.name());
        };
        let mut texts = StringBuilder::new();
        for index in 0..rows.len() {
            if rows.is_null(index) {
                texts.append_null();
                continue;
            }
            let written = self.write(rows, index);
            let written = written.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(written) = written else {
                return exec_err!("{} has no text for a value of this type", self.name());
            };
            texts.append_value(written);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}
