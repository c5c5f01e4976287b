//! A parameter of a plan that is made once: a function without arguments, which answers the value of the run at hand.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError, RwLock},
};

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::{Result, ScalarValue, internal_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, expr::ScalarFunction,
    },
};

/// What the parameters of one plan are in the run at hand. Between runs there are none: planners that try what an
/// expression without columns answers hear that it cannot be known.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(Arc<RwLock<Vec<ScalarValue>>>);

impl Values {
    /// What they are until this is dropped.
    pub(super) fn at_hand(&self, values: &[ScalarValue]) -> AtHand<'_> {
        values.clone_into(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
        AtHand(self)
    }

    fn get(&self, number: usize) -> Option<ScalarValue> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(number).cloned()
    }
}

/// A run that is going on.
pub(super) struct AtHand<'a>(&'a Values);

impl Drop for AtHand<'_> {
    fn drop(&mut self) {
        let mut all = self.0.0.write().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Parameter {
    query: usize,
    number: usize,
    field: FieldRef,
    values: Values,
    signature: Signature,
}

impl Parameter {
    /// A parameter as an expression. That it is volatile keeps planners from taking the value it has for the one that it
    /// will have.
    pub(super) fn expr((query, number): (usize, usize), field: FieldRef, values: &Values) -> Expr {
        let parameter = Self {
            query,
            number,
            field,
            values: values.clone(),
            signature: Signature::nullary(Volatility::Volatile),
        };
        let function = Arc::new(ScalarUDF::new_from_impl(parameter));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, Vec::new()))
    }

    /// Whether an expression is a parameter.
    pub(super) fn is(expr: &Expr) -> bool {
        matches!(expr, Expr::ScalarFunction(call)
            if call.func.inner().downcast_ref::<Self>().is_some())
    }
}

impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        (self.query, self.number, &self.field) == (other.query, other.number, &other.field)
    }
}

impl Eq for Parameter {}

impl Hash for Parameter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.query, self.number).hash(state);
    }
}

impl ScalarUDFImpl for Parameter {
    fn name(&self) -> &'static str {
        "parameter"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = self.values.get(self.number) else {
            return internal_err!("a parameter has no value between runs");
        };
        let value = value.cast_to(self.field.data_type())?;
        Ok(ColumnarValue::Scalar(value))
    }
}
